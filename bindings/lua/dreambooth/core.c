/* SPDX-License-Identifier: MIT */
/*
 * The library's functions for Lua 5.1 to 5.4, as dreambooth/ffi.lua has them
 * for LuaJIT: each under its own name without "dreambooth_", and what the C
 * function writes through a pointer is returned behind the status. All else is
 * dreambooth.lua's.
 *
 * A handle is a userdata with the pointer in it, NULL once it is freed. It is
 * made before the library is called, so that an error of Lua's loses nothing.
 */
#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#include <dreambooth/dreambooth.h>

#define MOST_ARGUMENTS 4
#define METATABLE(kind) "dreambooth_" #kind

/* Arguments ---------------------------------------------------------------- */

static void *handle_at(lua_State *L, int place, const char *metatable)
{
    void **handle = luaL_checkudata(L, place, metatable);

    if (*handle == NULL)
        luaL_error(L, "the handle is closed");
    return *handle;
}

#define HANDLE(place, kind) handle_at(L, place, METATABLE(kind))
#define TEXT(place) luaL_optstring(L, place, NULL)
#define INDEX(place) ((size_t)luaL_checkinteger(L, place))
#define INTEGER(place) ((int)luaL_checkinteger(L, place))

static void **new_handle(lua_State *L, const char *metatable)
{
    void **handle;

    lua_settop(L, MOST_ARGUMENTS); /* none that is missing becomes the handle */
    handle = lua_newuserdata(L, sizeof(*handle));
    *handle = NULL;
    luaL_getmetatable(L, metatable);
    lua_setmetatable(L, -2);
    return handle;
}

/* The status in front of the new handle on top of the stack. */
static int made(lua_State *L, int status)
{
    lua_pushinteger(L, status);
    lua_insert(L, -2);
    return 2;
}

/* The functions, by their kinds -------------------------------------------- */

/* Makes a handle. */
#define MAKES(kind, name, ...)                                                 \
    static int name(lua_State *L)                                              \
    {                                                                          \
        void **handle = new_handle(L, METATABLE(kind));                        \
        dreambooth_##kind *out = NULL;                                         \
        int status = dreambooth_##name(&out, __VA_ARGS__);                     \
                                                                               \
        *handle = out;                                                         \
        return made(L, status);                                                \
    }

/* Frees one. */
#define FREES(kind)                                                            \
    static int kind##_free(lua_State *L)                                       \
    {                                                                          \
        void **handle = luaL_checkudata(L, 1, METATABLE(kind));                \
                                                                               \
        dreambooth_##kind##_free(*handle);                                     \
        *handle = NULL;                                                        \
        return 0;                                                              \
    }

/* Gives a status or another whole number. */
#define COUNTS(name, ...)                                                      \
    static int name(lua_State *L)                                              \
    {                                                                          \
        lua_pushinteger(L, (lua_Integer)dreambooth_##name(__VA_ARGS__));       \
        return 1;                                                              \
    }

/* Gives a status and a text. */
#define ASKS(name, ...)                                                        \
    static int name(lua_State *L)                                              \
    {                                                                          \
        const char *text = NULL;                                               \
                                                                               \
        lua_pushinteger(L, dreambooth_##name(__VA_ARGS__, &text));             \
        lua_pushstring(L, text);                                               \
        return 2;                                                              \
    }

/* Gives a text. */
#define TELLS(name, ...)                                                       \
    static int name(lua_State *L)                                              \
    {                                                                          \
        lua_pushstring(L, dreambooth_##name(__VA_ARGS__));                     \
        return 1;                                                              \
    }

/* Writes a text of at most 1023 bytes. */
#define INFORMS(name, ...)                                                     \
    static int name(lua_State *L)                                              \
    {                                                                          \
        char text[1024] = "";                                                  \
                                                                               \
        lua_pushinteger(L,                                                     \
                        dreambooth_##name(__VA_ARGS__, text, sizeof(text)));   \
        lua_pushstring(L, text);                                               \
        return 2;                                                              \
    }

TELLS(version, )
TELLS(status_name, INTEGER(1))
INFORMS(build_info, TEXT(1))
INFORMS(option_info, TEXT(1), INDEX(2), TEXT(3))
INFORMS(fact_info, TEXT(1), INDEX(2), TEXT(3))

FREES(context)
TELLS(context_error, HANDLE(1, context))
COUNTS(context_set, HANDLE(1, context), TEXT(2), TEXT(3))
ASKS(context_get_text, HANDLE(1, context), TEXT(2))
static int context_new(lua_State *L)
{
    void **handle = new_handle(L, METATABLE(context));
    dreambooth_context *out = NULL;
    int status = dreambooth_context_new(&out);

    *handle = out;
    return made(L, status);
}

static int context_next_log(lua_State *L)
{
    const char *text = NULL;
    int level = 0;

    lua_pushinteger(
        L, dreambooth_context_next_log(HANDLE(1, context), &level, &text));
    lua_pushinteger(L, level);
    lua_pushstring(L, text);
    return 3;
}

static int context_cancel(lua_State *L)
{
    dreambooth_context_cancel(HANDLE(1, context));
    return 0;
}

static int context_clear_cancel(lua_State *L)
{
    dreambooth_context_clear_cancel(HANDLE(1, context));
    return 0;
}

FREES(image)
MAKES(image, image_read, HANDLE(1, context), TEXT(2))
MAKES(image, image_new, HANDLE(1, context), INTEGER(2), INTEGER(3),
      (const unsigned char *)TEXT(4))
MAKES(image, image_square, HANDLE(1, image), INTEGER(2))
COUNTS(image_width, HANDLE(1, image))
COUNTS(image_height, HANDLE(1, image))

FREES(tokenizer)
MAKES(tokenizer, tokenizer_open, HANDLE(1, context), TEXT(2))
TELLS(tokenizer_token, HANDLE(1, tokenizer), INTEGER(2))
COUNTS(tokenizer_vocabulary_size, HANDLE(1, tokenizer))
COUNTS(tokenizer_prompt_length, HANDLE(1, tokenizer))

FREES(identifier)
MAKES(identifier, identifier_new, HANDLE(1, tokenizer))
MAKES(identifier, identifier_new_for_model, HANDLE(1, model))
COUNTS(identifier_set, HANDLE(1, identifier), TEXT(2), TEXT(3))
ASKS(identifier_get_text, HANDLE(1, identifier), TEXT(2))
COUNTS(identifier_pick, HANDLE(1, identifier))
COUNTS(identifier_count, HANDLE(1, identifier))
TELLS(identifier_word, HANDLE(1, identifier), INDEX(2))
TELLS(identifier_explanation, HANDLE(1, identifier), INDEX(2))
ASKS(identifier_check, HANDLE(1, identifier), TEXT(2))

FREES(model)
MAKES(model, model_open, HANDLE(1, context), TEXT(2))
MAKES(model, model_describe, HANDLE(1, context), TEXT(2))
MAKES(model, model_init, HANDLE(1, context), TEXT(2), TEXT(3),
      (uint64_t)luaL_checkinteger(L, 4))
COUNTS(model_save, HANDLE(1, model), TEXT(2), TEXT(3))
ASKS(model_get_text, HANDLE(1, model), TEXT(2))

FREES(sampler)
MAKES(sampler, sampler_new, HANDLE(1, model))
COUNTS(sampler_set, HANDLE(1, sampler), TEXT(2), TEXT(3))
ASKS(sampler_get_text, HANDLE(1, sampler), TEXT(2))
COUNTS(sampler_step, HANDLE(1, sampler))
COUNTS(sampler_run, HANDLE(1, sampler))
MAKES(image, sampler_image, HANDLE(1, sampler), INDEX(2))
MAKES(image, sampler_preview, HANDLE(1, sampler), INDEX(2))
COUNTS(sampler_write, HANDLE(1, sampler), INDEX(2), TEXT(3))

FREES(trainer)
MAKES(trainer, trainer_new, HANDLE(1, model))
COUNTS(trainer_set, HANDLE(1, trainer), TEXT(2), TEXT(3))
ASKS(trainer_get_text, HANDLE(1, trainer), TEXT(2))
COUNTS(trainer_add_folder, HANDLE(1, trainer), TEXT(2))
COUNTS(trainer_add_image, HANDLE(1, trainer), HANDLE(2, image))
COUNTS(trainer_plan, HANDLE(1, trainer))
COUNTS(trainer_prepare, HANDLE(1, trainer))
COUNTS(trainer_step, HANDLE(1, trainer))
COUNTS(trainer_run, HANDLE(1, trainer))
COUNTS(trainer_checkpoint, HANDLE(1, trainer))

/* With bytes and arrays ---------------------------------------------------- */

/* Room for COUNT items, which stays on the stack and so is freed by Lua. */
static void *room_for(lua_State *L, size_t count, size_t size)
{
    return lua_newuserdata(L, (count > 0 ? count : 1) * size);
}

static size_t length_at(lua_State *L, int place)
{
    luaL_checktype(L, place, LUA_TTABLE);
#if LUA_VERSION_NUM < 502
    return lua_objlen(L, place);
#else
    return lua_rawlen(L, place);
#endif
}

static void push_ids(lua_State *L, const int32_t *ids, size_t count)
{
    size_t i;

    lua_createtable(L, (int)count, 0);
    for (i = 0; i < count; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* The pixels as a string, for which Lua has no pointers. */
static int image_string(lua_State *L)
{
    dreambooth_image *image = HANDLE(1, image);
    size_t width = (size_t)dreambooth_image_width(image);
    size_t height = (size_t)dreambooth_image_height(image);

    lua_pushlstring(L, (const char *)dreambooth_image_pixels(image),
                    3 * width * height);
    return 1;
}

static int image_decode(lua_State *L)
{
    size_t size;
    const char *bytes = luaL_checklstring(L, 3, &size);
    void **handle = new_handle(L, METATABLE(image));
    dreambooth_image *out = NULL;
    int status =
        dreambooth_image_decode(&out, HANDLE(1, context), TEXT(2), bytes, size);

    *handle = out;
    return made(L, status);
}

static int image_sheet(lua_State *L)
{
    void **handle = new_handle(L, METATABLE(image));
    size_t count = length_at(L, 2), i;
    dreambooth_image **images = room_for(L, count, sizeof(dreambooth_image *));
    dreambooth_image *out = NULL;
    int status;

    for (i = 0; i < count; i++) {
        lua_rawgeti(L, 2, (int)i + 1);
        images[i] = HANDLE(-1, image);
        lua_pop(L, 1);
    }
    status = dreambooth_image_sheet(&out, HANDLE(1, context), images, count,
                                    INTEGER(3), INTEGER(4));
    *handle = out;
    lua_pop(L, 1);
    return made(L, status);
}

/* The texts of the list at PLACE, which stay the list's. */
static const char **texts_at(lua_State *L, int place, size_t count)
{
    const char **texts = room_for(L, count, sizeof(char *));
    size_t i;

    for (i = 0; i < count; i++) {
        lua_rawgeti(L, place, (int)i + 1);
        texts[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    return texts;
}

static int image_write(lua_State *L)
{
    size_t count = length_at(L, 3);
    const char **keys = texts_at(L, 3, count);
    const char **values = texts_at(L, 4, count);

    lua_pushinteger(L, dreambooth_image_write(HANDLE(1, image), TEXT(2), keys,
                                              values, count));
    return 1;
}

static int tokenizer_encode(lua_State *L)
{
    dreambooth_tokenizer *tokenizer = HANDLE(1, tokenizer);
    size_t length, count = 0;
    const char *text = luaL_checklstring(L, 2, &length);
    int status =
        dreambooth_tokenizer_encode(tokenizer, text, length, NULL, 0, &count);
    int32_t *ids = room_for(L, count, sizeof(*ids));

    if (status == DREAMBOOTH_OK)
        status = dreambooth_tokenizer_encode(tokenizer, text, length, ids,
                                             count, &count);
    lua_pushinteger(L, status);
    push_ids(L, ids, status == DREAMBOOTH_OK ? count : 0);
    return 2;
}

static int tokenizer_encode_padded(lua_State *L)
{
    dreambooth_tokenizer *tokenizer = HANDLE(1, tokenizer);
    size_t length, dropped = 0, count = INDEX(3);
    const char *text = luaL_checklstring(L, 2, &length);
    int32_t *ids = room_for(L, count, sizeof(*ids));
    int status = dreambooth_tokenizer_encode_padded(tokenizer, text, length,
                                                    ids, count, &dropped);

    lua_pushinteger(L, status);
    push_ids(L, ids, status == DREAMBOOTH_OK ? count : 0);
    lua_pushinteger(L, (lua_Integer)dropped);
    return 3;
}

static int tokenizer_decode(lua_State *L)
{
    dreambooth_tokenizer *tokenizer = HANDLE(1, tokenizer);
    size_t count = length_at(L, 2), length = 0, i;
    int32_t *ids = room_for(L, count, sizeof(*ids));
    char *text;
    int status;

    for (i = 0; i < count; i++) {
        lua_rawgeti(L, 2, (int)i + 1);
        ids[i] = INTEGER(-1);
        lua_pop(L, 1);
    }
    status =
        dreambooth_tokenizer_decode(tokenizer, ids, count, NULL, 0, &length);
    text = room_for(L, length + 1, 1);
    if (status == DREAMBOOTH_OK)
        status = dreambooth_tokenizer_decode(tokenizer, ids, count, text,
                                             length + 1, &length);
    lua_pushinteger(L, status);
    lua_pushlstring(L, text, status == DREAMBOOTH_OK ? length : 0);
    return 2;
}

static int identifier_ids(lua_State *L)
{
    size_t count = 0;
    const int32_t *ids =
        dreambooth_identifier_ids(HANDLE(1, identifier), INDEX(2), &count);

    push_ids(L, ids, count);
    return 1;
}

static int identifier_prior(lua_State *L)
{
    lua_pushnumber(
        L, dreambooth_identifier_prior(HANDLE(1, identifier), INDEX(2)));
    return 1;
}

static int sampler_latents(lua_State *L)
{
    dreambooth_sampler *sampler = HANDLE(1, sampler);
    int64_t shape[4] = {0};
    int status = dreambooth_sampler_latents(sampler, shape, NULL, 0);
    size_t count = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]), i;
    float *values = room_for(L, count, sizeof(*values));

    if (status == DREAMBOOTH_OK)
        status = dreambooth_sampler_latents(sampler, shape, values, count);
    lua_pushinteger(L, status);
    lua_createtable(L, (int)count, 0);
    for (i = 0; i < count && status == DREAMBOOTH_OK; i++) {
        lua_pushnumber(L, values[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_createtable(L, 4, 0);
    for (i = 0; i < 4; i++) {
        lua_pushinteger(L, (lua_Integer)shape[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 3;
}

/* The module --------------------------------------------------------------- */

#define ROW(name)                                                              \
    {                                                                          \
#name, name                                                            \
    }

static const luaL_Reg functions[] = {
    ROW(version),
    ROW(status_name),
    ROW(build_info),
    ROW(option_info),
    ROW(fact_info),
    ROW(context_free),
    ROW(context_error),
    ROW(context_set),
    ROW(context_get_text),
    ROW(context_new),
    ROW(context_next_log),
    ROW(context_cancel),
    ROW(context_clear_cancel),
    ROW(image_free),
    ROW(image_read),
    ROW(image_new),
    ROW(image_square),
    ROW(image_width),
    ROW(image_height),
    ROW(image_string),
    {"image_pixels", image_string},
    ROW(image_decode),
    ROW(image_sheet),
    ROW(image_write),
    ROW(tokenizer_free),
    ROW(tokenizer_open),
    ROW(tokenizer_token),
    ROW(tokenizer_vocabulary_size),
    ROW(tokenizer_prompt_length),
    ROW(tokenizer_encode),
    ROW(tokenizer_encode_padded),
    ROW(tokenizer_decode),
    ROW(identifier_free),
    ROW(identifier_new),
    ROW(identifier_new_for_model),
    ROW(identifier_set),
    ROW(identifier_get_text),
    ROW(identifier_pick),
    ROW(identifier_count),
    ROW(identifier_word),
    ROW(identifier_explanation),
    ROW(identifier_check),
    ROW(identifier_ids),
    ROW(identifier_prior),
    ROW(model_free),
    ROW(model_open),
    ROW(model_describe),
    ROW(model_init),
    ROW(model_save),
    ROW(model_get_text),
    ROW(sampler_free),
    ROW(sampler_new),
    ROW(sampler_set),
    ROW(sampler_get_text),
    ROW(sampler_step),
    ROW(sampler_run),
    ROW(sampler_image),
    ROW(sampler_preview),
    ROW(sampler_write),
    ROW(sampler_latents),
    ROW(trainer_free),
    ROW(trainer_new),
    ROW(trainer_set),
    ROW(trainer_get_text),
    ROW(trainer_add_folder),
    ROW(trainer_add_image),
    ROW(trainer_plan),
    ROW(trainer_prepare),
    ROW(trainer_step),
    ROW(trainer_run),
    ROW(trainer_checkpoint),
};

static const luaL_Reg handles[] = {
    {METATABLE(context), context_free},
    {METATABLE(image), image_free},
    {METATABLE(tokenizer), tokenizer_free},
    {METATABLE(identifier), identifier_free},
    {METATABLE(model), model_free},
    {METATABLE(sampler), sampler_free},
    {METATABLE(trainer), trainer_free},
};

#define IF_THERE __attribute__((weak))
IF_THERE void openblas_set_num_threads(int threads);
IF_THERE void MKL_Set_Num_Threads(int threads);
IF_THERE void bli_thread_set_num_threads(long threads);

/* As the command does: threads are the library's own, not the BLAS's. */
static void settle_blas(void)
{
    if (openblas_set_num_threads != NULL)
        openblas_set_num_threads(1);
    if (MKL_Set_Num_Threads != NULL)
        MKL_Set_Num_Threads(1);
    if (bli_thread_set_num_threads != NULL)
        bli_thread_set_num_threads(1);
}

int luaopen_dreambooth_core(lua_State *L);

int luaopen_dreambooth_core(lua_State *L)
{
    size_t i;

    settle_blas();
    for (i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        luaL_newmetatable(L, handles[i].name);
        lua_pushcfunction(L, handles[i].func);
        lua_setfield(L, -2, "__gc");
        lua_pop(L, 1);
    }
    lua_newtable(L);
    for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        lua_pushcfunction(L, functions[i].func);
        lua_setfield(L, -2, functions[i].name);
    }
    return 1;
}
