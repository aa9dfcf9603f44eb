/* SPDX-License-Identifier: MIT */
/* What the files that handle parameters share. */
#ifndef DB_NN_PARAM_INT_H
#define DB_NN_PARAM_INT_H

#include "nn/param.h"

/* Gives PARAM its data, undefined, unless it has some. */
int db_param_allocate(struct db_env *env, struct db_param *param);

#endif
