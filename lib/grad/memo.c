/* SPDX-License-Identifier: MIT */
/* Results of linear layers by the weight that made them. */
#include "grad/memo.h"

#include <string.h>

#include "grad/ops.h"

static struct db_memo_entry *find(const struct db_memo *memo,
                                  const struct db_param *weight)
{
    size_t i;

    for (i = 0; i < memo->count; i++)
        if (memo->entries[i].weight == weight)
            return &memo->entries[i];
    return NULL;
}

/* A place for WEIGHT, emptied; NULL where there is no memory. */
static struct db_memo_entry *place(struct db_memo *memo,
                                   const struct db_param *weight)
{
    struct db_memo_entry *entry = find(memo, weight);

    if (entry == NULL && memo->count == memo->capacity) {
        size_t capacity = memo->capacity == 0 ? 64 : 2 * memo->capacity;
        struct db_memo_entry *entries = db_resize(
            memo->env, memo->entries, capacity * sizeof(*memo->entries));

        if (entries == NULL)
            return NULL;
        memo->entries = entries;
        memo->capacity = capacity;
    }
    if (entry == NULL) {
        entry = &memo->entries[memo->count++];
        memset(entry, 0, sizeof(*entry));
    }
    db_tensor_release(entry->x);
    db_tensor_release(entry->y);
    entry->x = entry->y = NULL;
    entry->weight = weight;
    return entry;
}

void db_memo_clear(struct db_memo *memo)
{
    size_t i;

    for (i = 0; i < memo->count; i++) {
        db_tensor_release(memo->entries[i].x);
        db_tensor_release(memo->entries[i].y);
    }
    db_free(memo->env, memo->entries);
    memo->entries = NULL;
    memo->count = memo->capacity = 0;
}

static struct db_memo *memo_of(const struct db_tape *tape)
{
    return tape->recording ? NULL : tape->memo;
}

/* Takes X's and Y's own references. */
static int note(struct db_memo *memo, const struct db_param *weight,
                struct db_tensor *x, struct db_tensor *y)
{
    struct db_memo_entry *entry = place(memo, weight);

    if (entry == NULL)
        return memo->env->error_status;
    entry->x = db_tensor_hold(x);
    entry->y = db_tensor_hold(y);
    return DREAMBOOTH_OK;
}

/* What is computed once needs no form of its weight. */
static struct db_var *linear_once(struct db_tape *tape, struct db_var *x,
                                  struct db_param *weight,
                                  struct db_param *bias)
{
    struct db_forms *forms = tape->device->forms;
    struct db_var *y;

    tape->device->forms = NULL;
    y = db_linear(tape, x, weight, bias);
    tape->device->forms = forms;
    return y;
}

struct db_var *db_linear_known(struct db_tape *tape, struct db_var *x,
                               struct db_param *weight, struct db_param *bias)
{
    struct db_memo *memo = memo_of(tape);
    struct db_memo_entry *entry;
    struct db_tensor *input;
    struct db_var *y;

    if (memo == NULL || x == NULL)
        return db_linear(tape, x, weight, bias);
    entry = find(memo, weight);
    if (entry != NULL && entry->x == x->data) {
        db_drop(x);
        return db_var_new(tape, entry->y, false);
    }
    input = db_tensor_hold(x->data);
    y = linear_once(tape, x, weight, bias);
    if (y != NULL)
        db_tape_fail(tape, note(memo, weight, input, y->data));
    db_tensor_release(input);
    return y;
}

struct db_var *db_known_row(struct db_tape *tape, struct db_var *x)
{
    struct db_memo *memo = memo_of(tape);
    struct db_tensor *row = NULL;
    struct db_var *result;

    if (memo == NULL || x == NULL)
        return x;
    db_tape_fail(tape, db_tensor_rows(x->data, memo->row, 1, &row));
    db_drop(x);
    result = row == NULL ? NULL : db_var_new(tape, row, false);
    db_tensor_release(row);
    return result;
}
