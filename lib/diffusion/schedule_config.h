/* SPDX-License-Identifier: MIT */
/*
 * From the text of a scheduler_config.json to the configuration of a schedule.
 * The pipeline keeps the text as it was; who needs numbers asks here.
 */
#ifndef DB_DIFFUSION_SCHEDULE_CONFIG_H
#define DB_DIFFUSION_SCHEDULE_CONFIG_H

#include "diffusion/schedule.h"

/*
 * Reads the JSON object TEXT, called FILE in errors, into *CONFIG, which is
 * initialised here and released by the caller. Keys of schedulers that the
 * library has not are passed over with a note in the log, as diffusers does
 * when one scheduler is made from another's configuration. EFORMAT for text
 * that is no such object, EINVAL for a value that a field cannot have.
 */
int db_schedule_config_read(struct db_env *env, const char *file,
                            const char *text,
                            struct db_schedule_config *config);

#endif
