/* SPDX-License-Identifier: MIT */
/*
 * Pictures: decoding, resizing, cropping and what the model sees, against
 * Pillow and torchvision, byte for byte. A case is a file; NAME.<what> is a
 * tensor for each thing done with it, and a table has what can be done.
 */
#include "parity.h"

#include <stdio.h>
#include <string.h>

#include "file/folder.h"
#include "file/image.h"
#include "file/resize.h"

#define PATH_BYTES 4096

static void compare_image(struct parity *p, const char *what,
                          const struct db_image *image,
                          const struct db_safetensors_entry *want)
{
    if (want->dtype != DB_U8 || want->rank != 3 ||
        want->shape[0] != image->height || want->shape[1] != image->width ||
        want->shape[2] != 3)
        parity_fail(p, "%s: %d x %d pixels (width x height) are not the shape",
                    what, image->width, image->height);
    else
        parity_compare_bytes(p, what, image->pixels, parity_data(p, want),
                             db_image_size(image));
}

/* The two numbers, [top, left], of NAME.<kind><size>_offset. */
static int read_offset(struct parity *p, const struct db_safetensors *file,
                       const char *name, const char *kind, int size,
                       int64_t offset[2])
{
    const struct db_safetensors_entry *entry;
    char key[PATH_BYTES + 32];

    snprintf(key, sizeof(key), "%s.%s%d_offset", name, kind, size);
    entry = db_safetensors_find(file, key);
    if (entry == NULL || entry->dtype != DB_I64 || entry->count != 2) {
        parity_fail(p, "%s is missing", key);
        return DREAMBOOTH_EFORMAT;
    }
    memcpy(offset, parity_data(p, entry), 2 * sizeof(*offset));
    return DREAMBOOTH_OK;
}

/* What a check works on. */
struct subject {
    const struct db_safetensors *file;
    const char *name;
    const struct db_image *image; /* as decoded */
    const struct db_safetensors_entry *want;
    int size;
};

static int check_resized(struct parity *p, const struct subject *subject)
{
    struct db_image *resized;
    int status = db_image_resize_short_side(
        p->env, subject->image, subject->size, DB_FILTER_BILINEAR, &resized);

    if (status != DREAMBOOTH_OK)
        return status;
    compare_image(p, "resized", resized, subject->want);
    db_image_free(p->env, resized);
    return DREAMBOOTH_OK;
}

static int center(struct parity *p, const struct subject *subject,
                  enum db_filter filter, struct db_image **out)
{
    struct db_image *resized;
    int size = subject->size;
    int status = db_image_resize_short_side(p->env, subject->image, size,
                                            filter, &resized);

    if (status != DREAMBOOTH_OK)
        return status;
    status = db_image_crop(
        p->env, resized, db_image_center_offset(resized->width, size),
        db_image_center_offset(resized->height, size), size, size, out);
    db_image_free(p->env, resized);
    return status;
}

static int check_center_by(struct parity *p, const struct subject *subject,
                           enum db_filter filter)
{
    struct db_image *image;
    int status = center(p, subject, filter, &image);

    if (status != DREAMBOOTH_OK)
        return status;
    compare_image(p, "center", image, subject->want);
    db_image_free(p->env, image);
    return DREAMBOOTH_OK;
}

static int check_center(struct parity *p, const struct subject *subject)
{
    return check_center_by(p, subject, DB_FILTER_BILINEAR);
}

static int check_bicubic(struct parity *p, const struct subject *subject)
{
    return check_center_by(p, subject, DB_FILTER_BICUBIC);
}

static int check_center_offset(struct parity *p, const struct subject *subject)
{
    struct db_image *resized;
    int64_t want[2], got[2];
    int status = db_image_resize_short_side(
        p->env, subject->image, subject->size, DB_FILTER_BILINEAR, &resized);

    if (status != DREAMBOOTH_OK)
        return status;
    got[0] = db_image_center_offset(resized->height, subject->size);
    got[1] = db_image_center_offset(resized->width, subject->size);
    db_image_free(p->env, resized);
    status = read_offset(p, subject->file, subject->name, "center",
                         subject->size, want);
    if (status == DREAMBOOTH_OK)
        parity_compare_bytes(p, "center offset", got, want, sizeof(got));
    return DREAMBOOTH_OK;
}

static int check_random(struct parity *p, const struct subject *subject)
{
    struct db_image *resized, *part;
    int64_t offset[2];
    int size = subject->size;
    int status;

    if (read_offset(p, subject->file, subject->name, "random", size, offset) !=
        DREAMBOOTH_OK)
        return DREAMBOOTH_OK;
    status = db_image_resize_short_side(p->env, subject->image, size,
                                        DB_FILTER_BILINEAR, &resized);
    if (status != DREAMBOOTH_OK)
        return status;
    status = db_image_crop(p->env, resized, (int)offset[1], (int)offset[0],
                           size, size, &part);
    db_image_free(p->env, resized);
    if (status != DREAMBOOTH_OK)
        return status;
    compare_image(p, "random", part, subject->want);
    db_image_free(p->env, part);
    return DREAMBOOTH_OK;
}

/* The reference is [3, size, size]; ours [size, size, 3]. */
static void compare_channels(struct parity *p, const struct subject *subject,
                             const float *got, float *got_nchw, float *want)
{
    int64_t pixels = (int64_t)subject->size * subject->size;
    int64_t i;

    if (db_safetensors_read_f32(p->env, subject->want, want) != DREAMBOOTH_OK) {
        parity_fail(p, "%s", p->env->error_text);
        return;
    }
    for (i = 0; i < 3 * pixels; i++)
        got_nchw[i % 3 * pixels + i / 3] = got[i];
    parity_compare(p, "tensor", got_nchw, want, 3 * pixels,
                   (struct parity_tolerance){0.0, 0.0, 0.0});
}

static int check_tensor(struct parity *p, const struct subject *subject)
{
    size_t count = (size_t)subject->size * (size_t)subject->size * 3;
    struct db_image *image;
    float *room;
    int status;

    if (subject->want->count != (int64_t)count) {
        parity_fail(p, "tensor: not the shape");
        return DREAMBOOTH_OK;
    }
    status = center(p, subject, DB_FILTER_BILINEAR, &image);
    if (status != DREAMBOOTH_OK)
        return status;
    room = db_alloc_array(p->env, count, 3 * sizeof(float));
    if (room != NULL) {
        db_image_to_tensor(image, room);
        compare_channels(p, subject, room, room + count, room + 2 * count);
    }
    db_free(p->env, room);
    db_image_free(p->env, image);
    return room != NULL ? DREAMBOOTH_OK : p->env->error_status;
}

/* PATTERN reads the size in what stands behind the name, and where it ends. */
static const struct {
    const char *pattern;
    int (*check)(struct parity *p, const struct subject *subject);
} checks[] = {
    {"resized%d%n", check_resized},
    {"center%d%n", check_center},
    {"center%d_bicubic%n", check_bicubic},
    {"center%d_offset%n", check_center_offset},
    {"random%d%n", check_random},
    {"tensor%d%n", check_tensor},
};

static void check_one(struct parity *p, struct subject *subject,
                      const char *what)
{
    size_t i;

    for (i = 0; i < DB_COUNT(checks); i++) {
        int end = 0;

        if (sscanf(what, checks[i].pattern, &subject->size, &end) != 1 ||
            end == 0 || what[end] != '\0')
            continue;
        if (checks[i].check(p, subject) != DREAMBOOTH_OK)
            parity_fail(p, "%s: %s", what, p->env->error_text);
    }
}

static void check_all(struct parity *p, const struct db_safetensors *file,
                      const char *name, const struct db_image *image)
{
    struct subject subject = {file, name, image, NULL, 0};
    size_t length = strlen(name);
    size_t i;

    for (i = 0; i < db_safetensors_count(file); i++) {
        const struct db_safetensors_entry *entry = db_safetensors_at(file, i);

        if (strncmp(entry->name, name, length) != 0 ||
            entry->name[length] != '.')
            continue;
        subject.want = entry;
        check_one(p, &subject, entry->name + length + 1);
    }
}

/* Where the reference keeps Pillow's clipping of 16-bit grey, there is a better
 * result beside it, and only the decoding can be compared. */
static void run_case(struct parity *p, const struct db_safetensors *file,
                     const char *name, const char *path,
                     const struct db_safetensors_entry *rgb)
{
    const struct db_safetensors_entry *high_byte;
    struct db_image *image;
    char key[PATH_BYTES + 32];

    parity_begin(p, "images/%s", db_path_name(path));
    snprintf(key, sizeof(key), "%s.rgb_high_byte", name);
    high_byte = db_safetensors_find(file, key);
    if (db_image_read(p->env, path, &image) != DREAMBOOTH_OK) {
        parity_fail(p, "%s", p->env->error_text);
    } else {
        compare_image(p, "rgb", image, high_byte != NULL ? high_byte : rgb);
        if (high_byte == NULL)
            check_all(p, file, name, image);
        db_image_free(p->env, image);
    }
    parity_end(p);
}

/* The file that is called NAME, or NAME with an extension; NULL for none. */
static const char *find_file(const struct db_folder_list *files,
                             const char *name)
{
    size_t length = strlen(name);
    size_t i;

    for (i = 0; i < files->count; i++)
        if (strncmp(files->names[i], name, length) == 0 &&
            (files->names[i][length] == '\0' ||
             (files->names[i][length] == '.' &&
              strchr(files->names[i] + length + 1, '.') == NULL)))
            return files->names[i];
    return NULL;
}

static void run_entry(struct parity *p, const char *folder,
                      const struct db_folder_list *files,
                      const struct db_safetensors *file,
                      const struct db_safetensors_entry *entry)
{
    static const char suffix[] = ".rgb";
    size_t length = strlen(entry->name);
    char name[PATH_BYTES], path[PATH_BYTES];
    const char *found;

    if (length < sizeof(suffix) || length >= sizeof(name) ||
        strcmp(entry->name + length - (sizeof(suffix) - 1), suffix) != 0)
        return;
    memcpy(name, entry->name, length);
    name[length - (sizeof(suffix) - 1)] = '\0';
    found = find_file(files, name);
    if (found == NULL) {
        parity_skip(p, entry->name, "there is no such file");
        return;
    }
    snprintf(path, sizeof(path), "%s/%s", folder, found);
    run_case(p, file, name, path, entry);
}

static void run_file(struct parity *p, const char *folder,
                     const struct db_folder_list *files, const char *name)
{
    struct db_safetensors *file;
    char path[PATH_BYTES];
    size_t i;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (db_safetensors_open(p->env, path, &file) != DREAMBOOTH_OK) {
        parity_begin(p, "images/%s", name);
        parity_fail(p, "%s", p->env->error_text);
        parity_end(p);
        return;
    }
    for (i = 0; i < db_safetensors_count(file); i++)
        run_entry(p, folder, files, file, db_safetensors_at(file, i));
    db_safetensors_free(file);
}

void parity_images(struct parity *p)
{
    static const char *const names[] = {"photos.safetensors",
                                        "forms.safetensors"};
    struct db_folder_list files;
    char folder[PATH_BYTES / 2];
    size_t i;

    snprintf(folder, sizeof(folder), "%s/images", p->directory);
    if (db_folder_files(p->env, folder, &files) != DREAMBOOTH_OK) {
        parity_skip(p, "images", p->env->error_text);
        return;
    }
    for (i = 0; i < DB_COUNT(names); i++)
        run_file(p, folder, &files, names[i]);
    db_folder_list_free(p->env, &files);
}
