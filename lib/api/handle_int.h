/* SPDX-License-Identifier: MIT */
/*
 * The structs behind the public handles, and what they share: each handle is
 * its settings with their option table, its facts, and a part of the library.
 */
#ifndef DB_API_HANDLE_INT_H
#define DB_API_HANDLE_INT_H

#include "base/option.h"
#include "dreambooth/backend.h"
#include "dreambooth/dreambooth.h"
#include "file/image.h"
#include "kernel/device.h"
#include "model/pipeline.h"

struct db_context_settings {
    int64_t threads;
    char *backend;
    int precision; /* enum dreambooth_precision */
    int weights;   /* 0: float32, 1: bfloat16 */
    int64_t memory_limit;
};

struct db_backend_entry {
    struct db_backend_entry *next;
    struct db_kernels kernels;
    char *name;
};

/* How many log lines a context keeps for those who ask for them. */
#define DB_KEPT_LINES 64

struct db_kept_line {
    char *text;
    int level;
};

/*
 * Handles count who needs them: the caller until it frees them, and each handle
 * that was made of them. So they may be freed in any order.
 */
struct dreambooth_context {
    struct db_env env;
    int64_t references;
    struct db_context_settings settings;
    struct db_pool *pool;              /* made with the first model */
    struct db_backend_entry *backends; /* those that were added */
    int64_t models;
    dreambooth_progress_function *progress;
    void *progress_user;
    char *text;                              /* what the last get_text() gave */
    struct db_kept_line kept[DB_KEPT_LINES]; /* a ring */
    size_t kept_first, kept_count;
    char *taken; /* what the last next_log() gave */
};

struct dreambooth_image {
    struct dreambooth_context *context;
    struct db_image *image;
};

/* A part of a described file or folder. */
struct db_model_part {
    char *name;
    struct db_part_facts facts;
};

struct dreambooth_trainer;

struct dreambooth_model {
    struct dreambooth_context *context;
    int64_t references;
    struct db_pipeline *pipeline; /* NULL for a single file */
    struct db_device device;
    struct db_model_part *parts;
    int64_t part_count;
    bool described;                           /* without the weights' values */
    const struct dreambooth_trainer *trainer; /* which changes it; or NULL */
    char *path;
    char *text;
};

struct dreambooth_tokenizer {
    struct dreambooth_context *context;
    int64_t references;
    struct db_tokenizer *tokenizer;
};

extern const struct db_option_table db_context_options;
extern const struct db_option_table db_identifier_option_table;

/* The type of a fact's field stands behind each. */
enum db_fact_type {
    DB_FACT_INTEGER, /* int64_t */
    DB_FACT_SIZE,    /* uint64_t */
    DB_FACT_REAL,    /* double */
    DB_FACT_BOOL,    /* bool */
    DB_FACT_TEXT     /* found by the handle's own code */
};

/* A fact: a name, and where its value lies in a struct. */
struct db_fact {
    const char *name;
    enum db_fact_type type;
    size_t offset;
    const char *unit; /* NULL: none */
    const char *help; /* one line, no full stop */
};

struct db_fact_table {
    const struct db_fact *rows;
    size_t count;
};

extern const struct db_fact_table db_context_facts;
extern const struct db_fact_table db_model_facts;
extern const struct db_fact_table db_sampler_facts;
extern const struct db_fact_table db_trainer_facts;

/* Facts in a struct, and options in settings: what a handle can be asked. */
struct db_subject {
    struct db_env *env;
    const struct db_fact_table *facts;
    const void *fact_base;
    const struct db_option_table *table;
    const void *settings;
};

int db_subject_integer(const struct db_subject *subject, const char *name,
                       int64_t *out);
int db_subject_real(const struct db_subject *subject, const char *name,
                    double *out);
/* The text is kept in *CACHE, freeing what was there. */
int db_subject_text(const struct db_subject *subject, const char *name,
                    char **cache, const char **out);

/* EINVAL if an ARGUMENT that must be given is NULL; NAME is what it is called
 * in the header. */
int db_check_given(struct db_env *env, const void *argument, const char *name);

/* Prompt TEXT with the identifier for [V], into fresh memory. */
int db_fill_prompt(struct db_env *env, const char *text, const char *identifier,
                   char **out);

/* Copies the kernels of the backend called NAME to *OUT, which may be NULL;
 * false if there is none. */
bool db_context_kernels(const struct dreambooth_context *context,
                        const char *name, struct db_kernels *out);
/* One more, or one less, who needs the context. */
struct dreambooth_context *db_context_hold(struct dreambooth_context *context);
void db_context_release(struct dreambooth_context *context);
struct dreambooth_model *db_model_hold(struct dreambooth_model *model);
/* Ends the context's threads, until there is a model again. */
void db_context_rest(struct dreambooth_context *context);
/* Binds DEVICE to the context's threads and chosen backend. */
/* What the option "weights" says. */
enum db_dtype db_context_weights(const struct dreambooth_context *context);
int db_context_device(struct dreambooth_context *context,
                      struct db_device *device);
void db_context_progress(struct dreambooth_context *context, const char *stage,
                         int64_t done, int64_t total);

/* Wraps IMAGE, taken over also on failure. */
int db_image_wrap(struct dreambooth_context *context, struct db_image *image,
                  dreambooth_image **out);
/* A model of PATH without parts, bound to the context's threads and kernels. */
int db_model_new(struct dreambooth_context *context, const char *path,
                 dreambooth_model **out);
int db_model_add_part(dreambooth_model *model, const char *name,
                      const struct db_part_facts *facts);
/* Adds the parts of the model's pipeline. */
int db_model_add_pipeline_parts(dreambooth_model *model);
/* ESTATE unless the model has its weights. */
int db_model_check_whole(const dreambooth_model *model);

#endif
