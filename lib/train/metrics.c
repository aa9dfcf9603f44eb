/* SPDX-License-Identifier: MIT */
/* A text file that grows by whole lines. */
#include "train/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "file/atomic.h"
#include "file/folder.h"
#include "file/reader.h"

static const char header[] = "step,loss.instance,loss.prior,gradient_norm,"
                             "learning_rate,seconds,peak_memory_bytes\n";

/* The step that a line begins with; 0 for a line that is none of ours. */
static int64_t step_of(const char *line, size_t length)
{
    int64_t step = 0;
    size_t i;

    for (i = 0; i < length && i < 15 && line[i] >= '0' && line[i] <= '9'; i++)
        step = step * 10 + (line[i] - '0');
    return i > 0 && i < length && line[i] == ',' ? step : 0;
}

/* Appends to TEXT the whole lines of steps 1..STEP in the old file. */
static int keep_lines(struct db_env *env, const char *path, int64_t step,
                      struct db_text *text)
{
    char *bytes;
    size_t size;
    const char *line, *end;
    int status = db_file_load(env, path, &bytes, &size);

    if (status == DREAMBOOTH_EFORMAT) /* empty: a run was killed at its start */
        return DREAMBOOTH_OK;
    if (status != DREAMBOOTH_OK)
        return status;
    line = bytes;
    end = line + size;
    while (line < end && status == DREAMBOOTH_OK) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        int64_t number;

        if (next == NULL)
            break;
        next++;
        number = step_of(line, (size_t)(next - line));
        if (number >= 1 && number <= step)
            status =
                db_text_append_bytes(env, text, line, (size_t)(next - line));
        line = next;
    }
    db_free(env, bytes);
    return status;
}

int db_metrics_start(struct db_env *env, const char *path, int64_t step)
{
    struct db_text text = {0};
    int status = db_text_append(env, &text, header);

    if (status == DREAMBOOTH_OK && step > 0 && db_path_exists(path))
        status = keep_lines(env, path, step, &text);
    if (status == DREAMBOOTH_OK)
        status = db_atomic_write_file(env, path, text.bytes, text.length);
    db_text_free(env, &text);
    return status;
}

static int format_line(struct db_env *env,
                       const struct db_trainer_report *report, bool prior,
                       struct db_text *text)
{
    char instance[DB_REAL_TEXT], class_loss[DB_REAL_TEXT] = "";
    char norm[DB_REAL_TEXT], rate[DB_REAL_TEXT], seconds[DB_REAL_TEXT];

    db_real_text(report->loss_instance, instance);
    if (prior)
        db_real_text(report->loss_prior, class_loss);
    db_real_text(report->gradient_norm, norm);
    db_real_text(report->learning_rate, rate);
    db_real_text((double)(int64_t)(report->seconds * 1e6) / 1e6, seconds);
    return db_text_appendf(env, text, "%lld,%s,%s,%s,%s,%s,%" PRIu64 "\n",
                           (long long)report->step, instance, class_loss, norm,
                           rate, seconds, report->peak_memory);
}

int db_metrics_append(struct db_env *env, const char *path,
                      const struct db_trainer_report *report, bool prior)
{
    struct db_text text = {0};
    int status = format_line(env, report, prior, &text);
    int descriptor = -1;
    ssize_t written;

    if (status != DREAMBOOTH_OK)
        goto done;
    descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        status = db_fail_errno(env, errno, "%s: cannot open", path);
        goto done;
    }
    do
        written = write(descriptor, text.bytes, text.length);
    while (written < 0 && errno == EINTR);
    if (written != (ssize_t)text.length)
        status = db_fail_errno(env, written < 0 ? errno : ENOSPC,
                               "%s: cannot write", path);
    close(descriptor);
done:
    db_text_free(env, &text);
    return status;
}
