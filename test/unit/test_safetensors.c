/* SPDX-License-Identifier: MIT */
/*
 * Safetensors files and sets of weights: what is written is read back, and what
 * is damaged in any way (each truncation, each flipped bit, each rule of the
 * format broken, each allocation failing) is either refused with an error or
 * harmless, never a crash or a leak.
 */
#include "unit.h"

#include <jansson.h>
#include <math.h>

#include "file/folder.h"
#include "file/safetensors.h"
#include "file/weights.h"
#include "tensor/convert.h"

/* An allocator that fails at the call with the number FAIL_AT, and after. */
struct failing {
    int64_t calls, fail_at;
};

static void *failing_resize(void *user, void *pointer, size_t old_size,
                            size_t size)
{
    struct failing *failing = user;

    (void)old_size;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    if (failing->calls++ >= failing->fail_at)
        return NULL;
    return realloc(pointer, size);
}

static const float numbers[6] = {0.0f, -1.5f, 3.25f, 1e-8f, 65504.0f, -0.0f};
static const int64_t ids[3] = {0, 1, 49407};
static const unsigned char flags[3] = {1, 0, 1};
static const uint16_t halves[3] = {0x3c00, 0x8001, 0x7bff};

static const struct db_safetensors_item items[] = {
    {.name = "flags", .dtype = DB_BOOL, .rank = 1, .shape = {3}, .data = flags},
    {.name = "halves",
     .dtype = DB_F16,
     .rank = 2,
     .shape = {3, 1},
     .data = halves},
    {.name = "numbers",
     .dtype = DB_F32,
     .rank = 2,
     .shape = {2, 3},
     .data = numbers},
    {.name = "ids.position_ids",
     .dtype = DB_I64,
     .rank = 1,
     .shape = {3},
     .data = ids},
    {.name = "empty", .dtype = DB_F32, .rank = 2, .shape = {0, 3}},
    {.name = "caf\xc3\xa9 \"x\"",
     .dtype = DB_F32,
     .rank = 0,
     .data = numbers + 2},
};

static const struct db_safetensors_pair pairs[] = {{"made-by", "a test"}};

static int write_sample(struct db_env *env, const char *path)
{
    return db_safetensors_write(env, path, items, DB_COUNT(items), pairs,
                                DB_COUNT(pairs));
}

/* Opens and touches every byte of every tensor. */
static int open_and_read(struct db_env *env, const char *path)
{
    struct db_safetensors *file;
    unsigned char *bytes;
    unsigned sum = 0;
    int status = db_safetensors_open(env, path, &file);

    if (status != DREAMBOOTH_OK)
        return status;
    for (size_t i = 0; i < db_safetensors_count(file); i++) {
        const struct db_safetensors_entry *entry = db_safetensors_at(file, i);

        ck_assert_ptr_eq(db_safetensors_find(file, entry->name), entry);
        bytes = malloc((size_t)entry->size + 1);
        ck_assert_ptr_nonnull(bytes);
        ck_assert_int_eq(
            db_safetensors_read(env, entry, 0, (size_t)entry->size, bytes),
            DREAMBOOTH_OK);
        for (uint64_t k = 0; k < entry->size; k++)
            sum += bytes[k];
        free(bytes);
    }
    db_safetensors_free(file);
    return sum == UINT32_MAX ? DREAMBOOTH_DONE : DREAMBOOTH_OK;
}

START_TEST(test_round_trip)
{
    struct db_env env;
    struct db_safetensors *file;
    const struct db_safetensors_entry *entry;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX], text[64];
    float read[6];

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a.safetensors");
    ck_assert_int_eq(write_sample(&env, path), DREAMBOOTH_OK);
    ck_assert_int_eq(db_safetensors_open(&env, path, &file), DREAMBOOTH_OK);
    ck_assert_uint_eq(db_safetensors_count(file), DB_COUNT(items));
    ck_assert_str_eq(db_safetensors_metadata(file, "format"), "pt");
    ck_assert_str_eq(db_safetensors_metadata(file, "made-by"), "a test");
    ck_assert_ptr_null(db_safetensors_metadata(file, "other"));
    ck_assert_ptr_null(db_safetensors_find(file, "other"));
    ck_assert_str_eq(db_safetensors_at(file, 0)->name, "ids.position_ids");
    for (size_t i = 0; i < DB_COUNT(items); i++) {
        entry = db_safetensors_find(file, items[i].name);
        ck_assert_ptr_nonnull(entry);
        ck_assert_int_eq(entry->dtype, items[i].dtype);
        ck_assert_int_eq(entry->rank, items[i].rank);
        ck_assert_mem_eq(entry->shape, items[i].shape, sizeof(entry->shape));
        ck_assert_uint_eq(entry->offset % db_dtype_size(entry->dtype), 0);
    }
    entry = db_safetensors_find(file, "numbers");
    ck_assert_int_eq(db_safetensors_read_f32(&env, entry, read), 0);
    ck_assert_mem_eq(read, numbers, sizeof(numbers));
    entry = db_safetensors_find(file, "halves");
    ck_assert_int_eq(db_safetensors_read_f32(&env, entry, read), 0);
    ck_assert(read[0] == 1.0f && read[1] == -0x1p-24f && read[2] == 65504.0f);
    db_safetensors_shape_text(entry, text, sizeof(text));
    ck_assert_str_eq(text, "[3, 1]");
    entry = db_safetensors_find(file, "ids.position_ids");
    ck_assert_int_eq(db_safetensors_read_f32(&env, entry, read),
                     DREAMBOOTH_EFORMAT);
    ck_assert_ptr_nonnull(strstr(env.error_text, "ids.position_ids"));
    db_safetensors_free(file);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

/* The sample as it must lie in a file, whatever the order of bytes here. */
static const char sample_header[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"made-by\":\"a test\"},"
    "\"ids.position_ids\":"
    "{\"dtype\":\"I64\",\"shape\":[3],\"data_offsets\":[0,24]},"
    "\"numbers\":"
    "{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[24,48]},"
    "\"empty\":"
    "{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[48,48]},"
    "\"caf\xc3\xa9 \\\"x\\\"\":"
    "{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[48,52]},"
    "\"halves\":"
    "{\"dtype\":\"F16\",\"shape\":[3,1],\"data_offsets\":[52,58]},"
    "\"flags\":"
    "{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[58,61]}}";

static const unsigned char sample_data[61] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* ids */
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /**/
    0xff, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /**/
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0xbf, /* numbers */
    0x00, 0x00, 0x50, 0x40, 0x77, 0xcc, 0x2b, 0x32, /**/
    0x00, 0xe0, 0x7f, 0x47, 0x00, 0x00, 0x00, 0x80, /**/
    0x00, 0x00, 0x50, 0x40,                         /* the single number */
    0x00, 0x3c, 0x01, 0x80, 0xff, 0x7b,             /* halves */
    0x01, 0x00, 0x01,                               /* flags */
};

START_TEST(test_bytes)
{
    struct db_env env;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    size_t header = strlen(sample_header), padded = (header + 7) / 8 * 8;
    size_t size;
    char *bytes;

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a.safetensors");
    ck_assert_int_eq(write_sample(&env, path), DREAMBOOTH_OK);
    bytes = unit_read_file(path, &size);
    ck_assert_uint_eq(size, 8 + padded + sizeof(sample_data));
    for (size_t i = 0; i < 8; i++)
        ck_assert_uint_eq((unsigned char)bytes[i],
                          (uint64_t)padded >> 8 * i & 0xff);
    ck_assert_mem_eq(bytes + 8, sample_header, header);
    ck_assert_mem_eq(bytes + 8 + padded, sample_data, sizeof(sample_data));
    free(bytes);
    unit_directory_free(directory);
}
END_TEST

static int put_numbers(const struct db_safetensors_item *item,
                       struct db_safetensors_sink *sink)
{
    int status = db_safetensors_put_f32(sink, item->user, 2);

    if (status != DREAMBOOTH_OK)
        return status;
    return db_safetensors_put_f32(sink, (const float *)item->user + 2, 4);
}

static int put_too_few(const struct db_safetensors_item *item,
                       struct db_safetensors_sink *sink)
{
    return db_safetensors_put_f32(sink, item->user, 5);
}

static int put_too_many(const struct db_safetensors_item *item,
                        struct db_safetensors_sink *sink)
{
    return db_safetensors_put_f32(sink, item->user, 7);
}

START_TEST(test_sources)
{
    static const float seven[7] = {1, 2, 3, 4, 5, 6, 7};
    struct db_safetensors_item item = {
        .name = "x", .dtype = DB_BF16, .rank = 1, .shape = {6}, .user = seven};
    struct db_env env;
    struct db_safetensors *file;
    struct db_folder_list list;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    float read[6];

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a.safetensors");
    item.source = put_too_few;
    ck_assert_int_eq(db_safetensors_write(&env, path, &item, 1, NULL, 0),
                     DREAMBOOTH_EINTERNAL);
    item.source = put_too_many;
    ck_assert_int_eq(db_safetensors_write(&env, path, &item, 1, NULL, 0),
                     DREAMBOOTH_EINTERNAL);
    ck_assert_int_eq(db_folder_files(&env, directory, &list), 0);
    ck_assert_uint_eq(list.count, 0);
    item.source = put_numbers;
    ck_assert_int_eq(db_safetensors_write(&env, path, &item, 1, NULL, 0), 0);
    ck_assert_int_eq(db_safetensors_open(&env, path, &file), 0);
    ck_assert_int_eq(
        db_safetensors_read_f32(&env, db_safetensors_at(file, 0), read), 0);
    ck_assert_mem_eq(read, seven, sizeof(read));
    db_safetensors_free(file);
    unit_directory_free(directory);
}
END_TEST

START_TEST(test_writer_refuses)
{
    struct db_safetensors_item two[2] = {items[0], items[0]};
    struct db_env env;

    db_env_init(&env);
    ck_assert_int_eq(db_safetensors_write(&env, "/tmp/x", two, 2, NULL, 0),
                     DREAMBOOTH_EINVAL);
    two[1].name = "\xff";
    ck_assert_int_eq(db_safetensors_write(&env, "/tmp/x", two, 2, NULL, 0),
                     DREAMBOOTH_EINVAL);
    two[1].name = "__metadata__";
    ck_assert_int_eq(db_safetensors_write(&env, "/tmp/x", two, 2, NULL, 0),
                     DREAMBOOTH_EINVAL);
    two[1].name = "huge";
    two[1].rank = 3;
    two[1].shape[1] = two[1].shape[2] = INT64_MAX / 2;
    ck_assert_int_eq(db_safetensors_write(&env, "/tmp/x", two, 2, NULL, 0),
                     DREAMBOOTH_EINVAL);
    ck_assert_int_eq(
        db_safetensors_write(&env, "/nowhere/x", items, 1, NULL, 0),
        DREAMBOOTH_ENOTFOUND);
    ck_assert_uint_eq(env.live_bytes, 0);
}
END_TEST

/* A header, and how many bytes of data stand behind it. */
static const struct {
    const char *header;
    size_t data;
    int status;
    const char *text; /* in the error */
} headers[] = {
    {"{}", 0, DREAMBOOTH_OK, ""},
    {"{}   ", 0, DREAMBOOTH_OK, ""},
    {" {}", 0, DREAMBOOTH_EFORMAT, "offset 8"},
    {"[]", 0, DREAMBOOTH_EFORMAT, "offset 8"},
    {"", 0, DREAMBOOTH_EFORMAT, "offset 8"},
    {"{}", 1, DREAMBOOTH_EFORMAT, "belong to no tensor"},
    {"{} x", 0, DREAMBOOTH_EFORMAT, "JSON"},
    {"{\"__metadata__\":{\"a\":\"b\"}}", 0, DREAMBOOTH_OK, ""},
    {"{\"__metadata__\":{\"a\":1}}", 0, DREAMBOOTH_EFORMAT, "no string"},
    {"{\"__metadata__\":[]}", 0, DREAMBOOTH_EFORMAT, "no object"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     DREAMBOOTH_OK, ""},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
     DREAMBOOTH_OK, ""},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9,0],\"data_offsets\":[0,0]}}", 0,
     DREAMBOOTH_OK, ""},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3,
     DREAMBOOTH_EFORMAT, "outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
     DREAMBOOTH_EFORMAT, "need 8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4,
     DREAMBOOTH_EFORMAT, "outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4,
     DREAMBOOTH_EFORMAT, "outside"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
     DREAMBOOTH_EFORMAT, "data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.0]}}", 4,
     DREAMBOOTH_EFORMAT, "data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, DREAMBOOTH_EFORMAT,
     "data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4,
     DREAMBOOTH_EFORMAT, "shape"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, DREAMBOOTH_EFORMAT,
     "dtype"},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     DREAMBOOTH_EFORMAT, "F31"},
    {"{\"a\":{\"dtype\":\"U32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     DREAMBOOTH_EUNSUPPORTED, "U32"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4,
     DREAMBOOTH_EFORMAT, "dimension 0"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],"
     "\"data_offsets\":[0,4]}}",
     4, DREAMBOOTH_EUNSUPPORTED, "9 dimensions"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
     "\"data_offsets\":[0,0]}}",
     0, DREAMBOOTH_EFORMAT, "overflows"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,9223372036854775807,3],"
     "\"data_offsets\":[0,0]}}",
     0, DREAMBOOTH_EFORMAT, "overflows"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],"
     "\"data_offsets\":[0,0]}}",
     0, DREAMBOOTH_EFORMAT, "JSON"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
     3, DREAMBOOTH_EFORMAT, "overlaps"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
     3, DREAMBOOTH_EFORMAT, "hole"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]},"
     "\"c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
     6, DREAMBOOTH_OK, ""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
     2, DREAMBOOTH_EFORMAT, "JSON"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}",
     1, DREAMBOOTH_EFORMAT, "besides"},
    {"{\"a\":3}", 0, DREAMBOOTH_EFORMAT, "object"},
};

START_TEST(test_rules)
{
    struct db_env env;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    unsigned char bytes[512];

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a.safetensors");
    for (size_t i = 0; i < DB_COUNT(headers); i++) {
        size_t length = strlen(headers[i].header);

        memset(bytes, 0, sizeof(bytes));
        bytes[0] = (unsigned char)length;
        bytes[1] = (unsigned char)(length >> 8);
        memcpy(bytes + 8, headers[i].header, length);
        unit_write_file(path, bytes, 8 + length + headers[i].data);
        env.error_text[0] = '\0';
        ck_assert_msg(open_and_read(&env, path) == headers[i].status, "%s: %s",
                      headers[i].header, env.error_text);
        ck_assert_msg(strstr(env.error_text, headers[i].text) != NULL, "%s: %s",
                      headers[i].header, env.error_text);
    }
    memset(bytes, 0xff, 8);
    unit_write_file(path, bytes, 9);
    ck_assert_int_eq(open_and_read(&env, path), DREAMBOOTH_EFORMAT);
    ck_assert_int_eq(open_and_read(&env, directory), DREAMBOOTH_EFORMAT);
    unit_path(path, directory, "missing");
    ck_assert_int_eq(open_and_read(&env, path), DREAMBOOTH_ENOTFOUND);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

START_TEST(test_truncation_and_bit_flips)
{
    struct db_env env;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    unsigned char *bytes;
    size_t size;

    db_env_init(&env);
    unit_directory_new(directory);
    unit_path(path, directory, "a.safetensors");
    ck_assert_int_eq(write_sample(&env, path), DREAMBOOTH_OK);
    bytes = (unsigned char *)unit_read_file(path, &size);
    for (size_t length = 0; length < size; length++) {
        unit_write_file(path, bytes, length);
        ck_assert_int_lt(open_and_read(&env, path), 0);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1u << bit % 8);
        unit_write_file(path, bytes, size);
        ck_assert_int_le(open_and_read(&env, path), 0);
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1u << bit % 8);
    }
    ck_assert_uint_eq(env.live_bytes, 0);
    free(bytes);
    unit_directory_free(directory);
}
END_TEST

/* A folder with two shards and their index, which says WEIGHT_MAP. */
static void write_shards(struct db_env *env, const char *directory,
                         const char *index, const char *weight_map)
{
    char path[UNIT_PATH_MAX], text[1024];

    unit_path(path, directory, "model-00001-of-00002.safetensors");
    ck_assert_int_eq(db_safetensors_write(env, path, items, 3, NULL, 0), 0);
    unit_path(path, directory, "model-00002-of-00002.safetensors");
    ck_assert_int_eq(db_safetensors_write(env, path, items + 3, 1, NULL, 0), 0);
    unit_path(path, directory, index);
    snprintf(text, sizeof(text),
             "{\"metadata\": {\"total_size\": 57}, \"weight_map\": {%s}}",
             weight_map);
    unit_write_file(path, text, strlen(text));
}

#define FIRST "\"model-00001-of-00002.safetensors\""
#define SECOND "\"model-00002-of-00002.safetensors\""
#define WHOLE                                                                  \
    "\"flags\": " FIRST ", \"halves\": " FIRST ", \"numbers\": " FIRST         \
    ", \"ids.position_ids\": " SECOND

static const struct {
    const char *weight_map;
    int status;
    const char *text;
} maps[] = {
    {WHOLE, DREAMBOOTH_OK, ""},
    {WHOLE ", \"more\": " SECOND, DREAMBOOTH_EFORMAT, "more"},
    {"\"flags\": " FIRST ", \"halves\": " FIRST
     ", \"ids.position_ids\": " SECOND,
     DREAMBOOTH_EFORMAT, "numbers"},
    {"\"flags\": " FIRST ", \"halves\": " FIRST ", \"numbers\": " SECOND
     ", \"ids.position_ids\": " SECOND,
     DREAMBOOTH_EFORMAT, "numbers"},
    {"\"x\": \"model-00003-of-00002.safetensors\"", DREAMBOOTH_ENOTFOUND,
     "model-00003"},
    {"\"x\": \"../a.safetensors\"", DREAMBOOTH_EFORMAT, "same folder"},
    {"\"x\": \"pytorch_model.bin\"", DREAMBOOTH_EFORMAT, "pytorch_model.bin"},
    {"\"x\": 3", DREAMBOOTH_EFORMAT, "no string"},
};

START_TEST(test_shards)
{
    struct db_env env;
    struct db_weights *weights;
    char directory[UNIT_PATH_MAX];
    int status;

    db_env_init(&env);
    unit_directory_new(directory);
    for (size_t i = 0; i < DB_COUNT(maps); i++) {
        write_shards(&env, directory, "model.safetensors.index.json",
                     maps[i].weight_map);
        env.error_text[0] = '\0';
        status = db_weights_open(&env, directory, "model", NULL, &weights);
        ck_assert_msg(status == maps[i].status, "%s: %s", maps[i].weight_map,
                      env.error_text);
        ck_assert_ptr_nonnull(strstr(env.error_text, maps[i].text));
        if (status == DREAMBOOTH_OK)
            db_weights_free(weights);
    }
    write_shards(&env, directory, "model.safetensors.index.fp16.json", WHOLE);
    ck_assert_int_eq(
        db_weights_open(&env, directory, "model", "fp16", &weights), 0);
    ck_assert_uint_eq(db_weights_count(weights), 4);
    ck_assert_str_eq(db_weights_at(weights, 0)->name, "flags");
    ck_assert_str_eq(db_weights_unused(weights)->name, "flags");
    ck_assert_ptr_nonnull(db_weights_take(weights, "flags"));
    ck_assert_ptr_nonnull(db_weights_take(weights, "halves"));
    ck_assert_ptr_nonnull(db_weights_find(weights, "numbers"));
    ck_assert_ptr_null(db_weights_take(weights, "nothing"));
    ck_assert_str_eq(db_weights_unused(weights)->name, "numbers");
    ck_assert_ptr_nonnull(db_weights_take(weights, "numbers"));
    ck_assert_ptr_null(db_weights_unused(weights)); /* position_ids may stay */
    db_weights_free(weights);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

START_TEST(test_index_damage)
{
    struct db_env env;
    struct db_weights *weights;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    unsigned char *bytes;
    size_t size;

    db_env_init(&env);
    unit_directory_new(directory);
    write_shards(&env, directory, "model.safetensors.index.json", WHOLE);
    unit_path(path, directory, "model.safetensors.index.json");
    bytes = (unsigned char *)unit_read_file(path, &size);
    for (size_t length = 0; length < size; length++) {
        unit_write_file(path, bytes, length);
        ck_assert_int_lt(
            db_weights_open(&env, directory, "model", NULL, &weights), 0);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1u << bit % 8);
        unit_write_file(path, bytes, size);
        if (db_weights_open(&env, directory, "model", NULL, &weights) == 0)
            db_weights_free(weights);
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1u << bit % 8);
    }
    ck_assert_uint_eq(env.live_bytes, 0);
    free(bytes);
    unit_directory_free(directory);
}
END_TEST

START_TEST(test_what_is_there_instead)
{
    struct db_env env;
    struct db_weights *weights;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];

    db_env_init(&env);
    unit_directory_new(directory);
    ck_assert_int_eq(db_weights_open(&env, directory, "model", NULL, &weights),
                     DREAMBOOTH_ENOTFOUND);
    unit_write_file(unit_path(path, directory, "pytorch_model.bin"), "x", 1);
    ck_assert_int_eq(db_weights_open(&env, directory, "model", NULL, &weights),
                     DREAMBOOTH_EUNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(env.error_text, "convert"));
    unit_path(path, directory, "model.fp16.safetensors");
    ck_assert_int_eq(write_sample(&env, path), 0);
    ck_assert_int_eq(db_weights_open(&env, directory, "model", NULL, &weights),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(env.error_text, "model.fp16.safetensors"));
    ck_assert_int_eq(
        db_weights_open(&env, directory, "model", "fp16", &weights), 0);
    ck_assert_str_eq(db_weights_path(weights), path);
    db_weights_free(weights);
    unit_path(path, directory, "nowhere");
    ck_assert_int_eq(db_weights_open(&env, path, "model", NULL, &weights),
                     DREAMBOOTH_ENOTFOUND);
    ck_assert_uint_eq(env.live_bytes, 0);
    unit_directory_free(directory);
}
END_TEST

/* Writing a file and opening shards, with each allocation failing in turn. */
START_TEST(test_failing_allocations)
{
    struct failing failing = {0, INT64_MAX};
    struct db_env good, env;
    struct db_weights *weights = NULL;
    struct db_folder_list list = {NULL, 0};
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    int status = -1;

    db_env_init(&good);
    unit_directory_new(directory);
    write_shards(&good, directory, "model.safetensors.index.json", WHOLE);
    unit_path(path, directory, "other.safetensors");
    for (int64_t n = 0; status != DREAMBOOTH_OK; n++) {
        db_env_init(&env);
        env.resize = failing_resize;
        env.resize_user = &failing;
        failing.calls = 0;
        failing.fail_at = n;
        status = write_sample(&env, path);
        if (status == DREAMBOOTH_OK)
            status = db_weights_open(&env, directory, "model", NULL, &weights);
        if (status == DREAMBOOTH_OK)
            db_weights_free(weights);
        else
            ck_assert_int_eq(status, DREAMBOOTH_ENOMEM);
        ck_assert_uint_eq(env.live_bytes, 0);
        ck_assert_int_lt(n, 1000);
    }
    ck_assert_int_eq(db_folder_files(&good, directory, &list), 0);
    ck_assert_uint_eq(list.count, 4);
    db_folder_list_free(&good, &list);
    unit_directory_free(directory);
}
END_TEST

/* jansson takes its memory from here while a test lets it run out of it. */
static int64_t json_calls, json_fail_at;

static void *failing_json_malloc(size_t size)
{
    return json_calls++ >= json_fail_at ? NULL : malloc(size);
}

START_TEST(test_failing_json)
{
    struct db_env env;
    struct db_weights *weights = NULL;
    char directory[UNIT_PATH_MAX], path[UNIT_PATH_MAX];
    int status = -1;

    db_env_init(&env);
    unit_directory_new(directory);
    write_shards(&env, directory, "model.safetensors.index.json", WHOLE);
    unit_path(path, directory, "other.safetensors");
    json_set_alloc_funcs(failing_json_malloc, free);
    for (json_fail_at = 0; status != DREAMBOOTH_OK; json_fail_at++) {
        json_calls = 0;
        status = write_sample(&env, path);
        if (status == DREAMBOOTH_OK)
            status = db_weights_open(&env, directory, "model", NULL, &weights);
        if (status == DREAMBOOTH_OK)
            db_weights_free(weights);
        ck_assert_uint_eq(env.live_bytes, 0);
        ck_assert_int_lt(json_fail_at, 1000);
    }
    json_set_alloc_funcs(malloc, free);
    unit_directory_free(directory);
}
END_TEST

/* Every half is exact in 32 bits, and comes back. */
START_TEST(test_halves)
{
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        uint16_t half = (uint16_t)bits;
        float wide = db_f16_to_f32(half), brain = db_bf16_to_f32(half);

        if (isnan(wide))
            ck_assert(isnan(db_f16_to_f32(db_f32_to_f16(wide))));
        else
            ck_assert_uint_eq(db_f32_to_f16(wide), half);
        if (isnan(brain))
            ck_assert(isnan(db_bf16_to_f32(db_f32_to_bf16(brain))));
        else
            ck_assert_uint_eq(db_f32_to_bf16(brain), half);
    }
}
END_TEST

/* Between two neighbouring halves: below the middle down, above it up, and in
 * the middle to the even one. */
START_TEST(test_rounding)
{
    for (uint16_t half = 0; half < 0x7bff; half++) {
        float low = db_f16_to_f32(half);
        float high = db_f16_to_f32((uint16_t)(half + 1));
        float middle = low + (high - low) / 2;
        uint16_t even = (uint16_t)(half + (half & 1u));

        ck_assert_uint_eq(db_f32_to_f16(middle), even);
        ck_assert_uint_eq(db_f32_to_f16(nextafterf(middle, 0)), half);
        ck_assert_uint_eq(db_f32_to_f16(nextafterf(middle, 1e9f)), half + 1);
        ck_assert_uint_eq(db_f32_to_f16(-middle), even | 0x8000u);
    }
    ck_assert_uint_eq(db_f32_to_f16(65519.99f), 0x7bff);
    ck_assert_uint_eq(db_f32_to_f16(65520.0f), 0x7c00);
    ck_assert_uint_eq(db_f32_to_f16(INFINITY), 0x7c00);
    ck_assert_uint_eq(db_f32_to_f16(-1e30f), 0xfc00);
    ck_assert_uint_eq(db_f32_to_f16(1e-30f), 0);
    ck_assert_uint_eq(db_f32_to_bf16(0x1.01p0f), 0x3f80);
    ck_assert_uint_eq(db_f32_to_bf16(0x1.03p0f), 0x3f82);
    ck_assert_uint_eq(db_f32_to_bf16(0x1.010002p0f), 0x3f81);
    ck_assert_uint_eq(db_f32_to_bf16(3.4e38f), 0x7f80);
}
END_TEST

/* 1 and -2.5 in each width, as files have them. */
static const struct {
    enum db_dtype dtype;
    unsigned char bytes[2 * sizeof(double)];
} floats[] = {
    {DB_F32, {0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x20, 0xc0}},
    {DB_F16, {0x00, 0x3c, 0x00, 0xc1}},
    {DB_BF16, {0x80, 0x3f, 0x20, 0xc0}},
    {DB_F64, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0x04, 0xc0}},
};

START_TEST(test_conversion_unaligned)
{
    unsigned char bytes[1 + 4 * sizeof(double)];
    const float want[4] = {1.0f, -2.5f, 0.0f, 1024.0f};
    float got[4];

    for (size_t i = 0; i < DB_COUNT(floats); i++) {
        enum db_dtype dtype = floats[i].dtype;

        ck_assert(db_convert_from_f32(dtype, want, 4, bytes + 1));
        ck_assert_mem_eq(bytes + 1, floats[i].bytes, 2 * db_dtype_size(dtype));
        ck_assert(db_convert_to_f32(dtype, bytes + 1, 4, got));
        ck_assert_mem_eq(got, want, sizeof(want));
    }
    ck_assert(!db_convert_to_f32(DB_I64, bytes, 1, got));
    ck_assert(!db_convert_from_f32(DB_U8, want, 1, bytes));
}
END_TEST

static Suite *safetensors_suite(void)
{
    Suite *suite = suite_create("safetensors");

    unit_add(suite, "round trip", test_round_trip);
    unit_add(suite, "bytes", test_bytes);
    unit_add(suite, "sources", test_sources);
    unit_add(suite, "writer refuses", test_writer_refuses);
    unit_add(suite, "rules", test_rules);
    unit_add(suite, "damage", test_truncation_and_bit_flips);
    unit_add(suite, "shards", test_shards);
    unit_add(suite, "index damage", test_index_damage);
    unit_add(suite, "instead", test_what_is_there_instead);
    unit_add(suite, "failing allocations", test_failing_allocations);
    unit_add(suite, "failing json", test_failing_json);
    unit_add(suite, "halves", test_halves);
    unit_add(suite, "rounding", test_rounding);
    unit_add(suite, "unaligned", test_conversion_unaligned);
    return suite;
}

int main(void)
{
    return unit_main(safetensors_suite());
}
