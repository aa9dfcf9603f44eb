/* SPDX-License-Identifier: MIT */
/*
 * Picking the rare word that a subject is bound to: section "Rare-token
 * identifiers" of Ruiz et al., "DreamBooth", 2022.
 *
 * Candidates are tokens that are whole words, come late in the vocabulary
 * (which is in order of frequency), are at most three characters long and stay
 * one token inside a prompt; known words (sks is a rifle) are left out. They
 * are drawn uniformly without replacement and, given a model, ranked by how
 * weak its prior for them is: |norm - initial| / initial, where norm is that of
 * the token's embedding and initial the median norm of the rarest tokens, which
 * training hardly moved. 0 is the weakest prior.
 */
#ifndef DREAMBOOTH_IDENTIFIER_H
#define DREAMBOOTH_IDENTIFIER_H

#include "dreambooth/model.h"
#include "dreambooth/tokenizer.h"

#include "dreambooth/begin.h"

typedef struct dreambooth_identifier dreambooth_identifier;

/* A picker for TOKENIZER. */
int dreambooth_identifier_new(dreambooth_identifier **out,
                              dreambooth_tokenizer *tokenizer);
/* A picker for MODEL; it ranks by the model's prior. */
int dreambooth_identifier_new_for_model(dreambooth_identifier **out,
                                        dreambooth_model *model);
void dreambooth_identifier_free(dreambooth_identifier *identifier);

/* Options ("identifier" in dreambooth_option_info()): "count", "seed",
 * "tokens", "first-id", "max-characters", "alphabet", "allow-blocked",
 * "draws". */
int dreambooth_identifier_set(dreambooth_identifier *identifier,
                              const char *name, const char *value);
int dreambooth_identifier_set_integer(dreambooth_identifier *identifier,
                                      const char *name, int64_t value);
/* Options. A text stays the picker's and is valid until the next call of this
 * function. */
int dreambooth_identifier_get_text(dreambooth_identifier *identifier,
                                   const char *name, const char **out);
int dreambooth_identifier_get_integer(dreambooth_identifier *identifier,
                                      const char *name, int64_t *out);

/* Picks "count" identifiers, in place of those picked before. EINVAL when there
 * are not that many candidates. */
int dreambooth_identifier_pick(dreambooth_identifier *identifier);
/* How many were picked. */
size_t dreambooth_identifier_count(const dreambooth_identifier *identifier);
/* Of the picked one at INDEX: the word, and one line that explains the choice.
 * NULL behind the last. They stay the picker's until the next pick. */
const char *dreambooth_identifier_word(const dreambooth_identifier *identifier,
                                       size_t index);
const char *dreambooth_identifier_explanation(
    const dreambooth_identifier *identifier, size_t index);
/* Its ids, *COUNT of them (1 to 3); NULL and 0 behind the last. */
const int32_t *dreambooth_identifier_ids(
    const dreambooth_identifier *identifier, size_t index, size_t *count);
/* The prior's measure, from 0; -1 without a model and behind the last. */
double dreambooth_identifier_prior(const dreambooth_identifier *identifier,
                                   size_t index);

/*
 * Judges a word of the user's own. *FINDINGS has a line for each thing that
 * speaks against it (common, splits badly, means something), and is "" for a
 * good one. It stays the picker's until the next check.
 */
int dreambooth_identifier_check(dreambooth_identifier *identifier,
                                const char *word, const char **findings);

#include "dreambooth/end.h"

#endif
