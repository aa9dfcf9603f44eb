/* SPDX-License-Identifier: MIT */
/*
 * The progress line. Rate and time left are those of the present stage since it
 * was first shown, so that a resumed run does not count what it did not do.
 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "color.h"
#include "machine.h"

#define REDRAW_SECONDS 0.1

static struct {
    dreambooth_context *context;
    char stage[32];
    int64_t first; /* what was done when the stage began */
    double start, drawn;
    int shown; /* there is a line on the terminal */
} line;

void progress_start(dreambooth_context *context)
{
    memset(&line, 0, sizeof(line));
    if (context != NULL && is_screen())
        line.context = context;
}

void format_duration(double seconds, char *text, size_t size)
{
    long long whole = (long long)(seconds + 0.5);

    if (whole >= 3600)
        snprintf(text, size, "%lld:%02lld:%02lld", whole / 3600,
                 whole / 60 % 60, whole % 60);
    else if (whole >= 60)
        snprintf(text, size, "%lld:%02lld", whole / 60, whole % 60);
    else
        snprintf(text, size, "%.*f s", seconds < 9.95 ? 1 : 0, seconds);
}

void format_bytes(double bytes, char *text, size_t size)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    size_t i = 0;

    while (bytes >= 999.5 && i + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1000;
        i++;
    }
    snprintf(text, size, "%.*f %s", i > 0 && bytes < 99.5 ? 1 : 0, bytes,
             units[i]);
}

static int terminal_columns(void)
{
    struct winsize window;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
        return window.ws_col;
    return 80;
}

/* "1.2 s a step" for slow work, "3.4 a second" for fast. */
static void format_rate(double rate, char *text, size_t size)
{
    if (rate < 1)
        snprintf(text, size, "%.1f s each", 1 / rate);
    else
        snprintf(text, size, "%.1f a second", rate);
}

/* ", RATE, TIME left", or nothing before there is a rate. */
static void format_speed(int64_t done, int64_t total, double now, char *text,
                         size_t size)
{
    double elapsed = now - line.start;
    char rate[32], left[32];
    double speed;

    text[0] = '\0';
    if (done <= line.first || elapsed <= 0)
        return;
    speed = (double)(done - line.first) / elapsed;
    format_rate(speed, rate, sizeof(rate));
    format_duration((double)(total - done) / speed, left, sizeof(left));
    snprintf(text, size, ", %s, %s left", rate, left);
}

static void draw(int64_t done, int64_t total, const char *more, double now)
{
    char text[256], speed[80], memory[32];
    int64_t live = 0;
    int room;

    format_speed(done, total, now, speed, sizeof(speed));
    dreambooth_context_get_integer(line.context, "memory.live", &live);
    format_bytes((double)live, memory, sizeof(memory));
    snprintf(text, sizeof(text), " %lld of %lld%s%s%s, %s", (long long)done,
             (long long)total, more == NULL ? "" : ", ",
             more == NULL ? "" : more, speed, memory);
    room = terminal_columns() - 1 - (int)strlen(line.stage);
    fprintf(stderr, "\r%s%s%s%.*s\033[K", color_code(COLOR_STAGE), line.stage,
            color_code(COLOR_END), room > 0 ? room : 0, text);
    fflush(stderr);
    line.shown = 1;
    line.drawn = now;
}

void progress_show(const char *stage, int64_t done, int64_t total,
                   const char *more)
{
    double now;

    if (line.context == NULL)
        return;
    now = seconds_now();
    if (strcmp(line.stage, stage) != 0) {
        snprintf(line.stage, sizeof(line.stage), "%s", stage);
        line.start = now;
        line.first = done;
        line.drawn = 0;
    }
    if (done >= total || now - line.drawn >= REDRAW_SECONDS)
        draw(done, total, more, now);
}

void progress_clear(void)
{
    if (!line.shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    line.shown = 0;
}
