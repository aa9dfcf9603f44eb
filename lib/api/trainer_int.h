/* SPDX-License-Identifier: MIT */
/* The trainer's handle, for the files that it is divided into. */
#ifndef DB_API_TRAINER_INT_H
#define DB_API_TRAINER_INT_H

#include "api/handle_int.h"
#include "sample/sampler.h"
#include "train/class_images.h"
#include "train/trainer.h"

enum db_trainer_stage {
    DB_STAGE_NEW,   /* options can change */
    DB_STAGE_CLASS, /* making class images */
    DB_STAGE_START, /* about to read everything and resume */
    DB_STAGE_READY,
    DB_STAGE_SAVED
};

/* What can be asked for, in one struct for the table of facts. */
struct db_trainer_facts {
    struct db_trainer_report report;
    struct db_train_plan plan;
    int64_t class_done, class_missing;
};

struct dreambooth_trainer {
    dreambooth_model *model;
    struct db_env *env;
    struct db_trainer_settings settings;
    enum db_trainer_stage stage;
    bool sheet_due;           /* the last step's samples are to be drawn */
    struct db_image **photos; /* added one by one; until training begins */
    size_t photo_count;
    struct db_trainer *inner;
    struct db_class_images *classes;
    struct db_sampler *class_sampler; /* of the images being made */
    int64_t class_first, class_count; /* their place in the missing ones */
    struct db_trainer_facts facts;
    char *text;
};

/* Frees the photos that were added one by one. */
void db_trainer_forget_photos(dreambooth_trainer *trainer);

/* trainer_class.c: one step of making class images; DONE when all are there. */
int db_class_stage_open(dreambooth_trainer *trainer);
int db_class_stage_step(dreambooth_trainer *trainer);
void db_class_stage_close(dreambooth_trainer *trainer);

/* trainer_sheet.c: draws the samples of the present step into out/samples and
 * joins all that are there in out/samples.png, a row a step. */
int db_sample_sheet(dreambooth_trainer *trainer);

#endif
