/* SPDX-License-Identifier: MIT */
/* The order of CLIP's cleaning steps; each step lives with its own kind. */
#include "text/clean.h"

#include "text/html.h"

/* Python's str.strip() knows four more blanks than the pattern does. */
static bool is_blank(uint32_t code)
{
    return db_is_space(code) || (code >= 0x1c && code <= 0x1f);
}

static void squeeze(const struct db_codepoints *text, struct db_codepoints *out)
{
    size_t start = 0, end = text->count, i;

    while (start < end && is_blank(text->at[start]))
        start++;
    while (end > start && is_blank(text->at[end - 1]))
        end--;
    for (i = start; i < end; i++) {
        if (!db_is_space(text->at[i]))
            db_codepoints_append(out, text->at[i]);
        else if (!db_is_space(text->at[i - 1]))
            db_codepoints_append(out, ' ');
    }
}

int db_clean(struct db_env *env, const char *text, size_t length,
             struct db_codepoints *out)
{
    struct db_codepoints work;
    int status;

    db_codepoints_init(&work, env);
    db_codepoints_append_utf8(&work, text, length);
    status = work.status;
    if (status == DREAMBOOTH_OK)
        status = db_fix_text(&work);
    if (status == DREAMBOOTH_OK)
        status = db_html_unescape(&work);
    if (status == DREAMBOOTH_OK)
        status = db_html_unescape(&work);
    if (status == DREAMBOOTH_OK) {
        squeeze(&work, out);
        status = out->status;
    }
    if (status == DREAMBOOTH_OK)
        status = db_codepoints_lower(out);
    db_codepoints_release(&work);
    return status;
}
