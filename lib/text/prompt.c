/* SPDX-License-Identifier: MIT */
/* Putting the identifier into prompts; what is put in is not looked at again.
 */
#include "text/prompt.h"

#include <string.h>

#include "base/text.h"

bool db_prompt_has_place_holder(const char *prompt)
{
    return strstr(prompt, DB_PROMPT_PLACE_HOLDER) != NULL;
}

int db_prompt_fill(struct db_env *env, const char *prompt,
                   const char *identifier, char **out)
{
    struct db_text text = {0};
    const char *at = prompt, *found;
    int status = DREAMBOOTH_OK;

    while (status == DREAMBOOTH_OK && identifier != NULL &&
           (found = strstr(at, DB_PROMPT_PLACE_HOLDER)) != NULL) {
        status = db_text_append_bytes(env, &text, at, (size_t)(found - at));
        if (status == DREAMBOOTH_OK)
            status = db_text_append(env, &text, identifier);
        at = found + strlen(DB_PROMPT_PLACE_HOLDER);
    }
    if (status == DREAMBOOTH_OK)
        status = db_text_append(env, &text, at);
    if (status == DREAMBOOTH_OK)
        status = db_text_take(env, &text, out);
    db_text_free(env, &text);
    return status;
}
