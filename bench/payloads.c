/* SPDX-License-Identifier: MIT */
/*
 * payloads - a server that gets large bodies in bursts, and rests in between.
 *
 *     payloads [BURSTS [REQUESTS [MILLISECONDS]]]
 *
 * Pattern: an event loop of one thread has up to six requests open.  A request's body has 8 KiB to 16 MiB, small ones
 * as often as large ones on a logarithmic scale.  The body is received in a block of its own, and one eighth of it is
 * copied into pieces of 16 to 528 bytes, which is the parsing.  The answer is written into a buffer that begins with
 * 4 KiB and doubles by realloc until it holds half of the body.  Which request goes on next is random: to be parsed,
 * to write up to 256 KiB more of its answer, or to be closed.  After REQUESTS requests all are closed, and the server
 * rests for MILLISECONDS.  Only the bursts are timed.  "rss_at_rest" is what is resident two seconds after the last
 * burst, and "faults_per_request" counts minor page faults.
 * Source: web and RPC servers of files, images and documents; a program of this project.
 */
#include "bench.h"

#define OPEN 6
#define LAST_REST 2 /* seconds */
#define LEAST_BODY_LOG 13
#define BODY_LOGS 11 /* 2^13 to 2^24 */
#define FIRST_ANSWER 4096
#define PORTION (256 << 10)

struct piece {
    struct piece *next;
    size_t size;
    unsigned char text[];
};

struct request {
    unsigned char *body, *answer;
    size_t size, capacity, written, wanted;
    struct piece *pieces;
};

static uint64_t random_state = 4669, sum;

static void receive(struct request *request)
{
    size_t octave = (size_t)1 << (LEAST_BODY_LOG + bench_below(&random_state, BODY_LOGS));
    *request = (struct request){.size = octave + bench_below(&random_state, octave)};
    request->body = bench_need(malloc(request->size));
    memset(request->body, (int)bench_below(&random_state, 256), request->size);
    request->wanted = request->size / 2;
}

static void parse(struct request *request)
{
    for (size_t at = 0; at < request->size;) {
        size_t size = 16 + bench_below(&random_state, 513 - sizeof(struct piece));
        if (size > request->size - at)
            size = request->size - at;
        struct piece *piece = bench_need(malloc(sizeof *piece + size));
        memcpy(piece->text, request->body + at, size);
        piece->size = size;
        piece->next = request->pieces;
        request->pieces = piece;
        at += size * 8;
    }
}

static void write_answer(struct request *request)
{
    size_t portion = request->wanted - request->written;
    if (portion > PORTION)
        portion = PORTION;
    size_t needed = request->written + portion;
    if (request->capacity == 0)
        request->answer = bench_need(malloc(request->capacity = FIRST_ANSWER));
    while (request->capacity < needed) {
        size_t step = request->capacity - request->written;
        memset(request->answer + request->written, (int)request->size, step);
        request->written += step;
        request->answer = bench_need(realloc(request->answer, request->capacity *= 2));
    }
    memset(request->answer + request->written, (int)request->size, needed - request->written);
    request->written = needed;
}

static void close_request(struct request *request)
{
    for (struct piece *piece = request->pieces, *next; piece != NULL; piece = next) {
        next = piece->next;
        sum = sum * 31 + piece->text[piece->size - 1];
        free(piece);
    }
    for (size_t i = 0; i < request->written; i += 509)
        if (request->answer[i] != (unsigned char)request->size)
            bench_die("realloc lost the contents of a block");
    sum = sum * 31 + request->body[request->size - 1] + request->size;
    free(request->body);
    free(request->answer);
    *request = (struct request){0};
}

static void burst(long requests)
{
    struct request open[OPEN] = {{0}};
    for (long left = requests, live = 0; left > 0 || live > 0;) {
        struct request *request = &open[bench_below(&random_state, OPEN)];
        if (request->body == NULL) {
            if (left == 0)
                continue;
            receive(request);
            left--;
            live++;
        } else if (request->pieces == NULL) {
            parse(request);
        } else if (request->written < request->wanted) {
            write_answer(request);
        } else {
            close_request(request);
            live--;
        }
    }
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 3, "[BURSTS [REQUESTS [MILLISECONDS]]]");
    long bursts = bench_arg(argc, argv, 1, "BURSTS", 4, 1, 1000000);
    long requests = bench_arg(argc, argv, 2, "REQUESTS", 50, 1, INT32_MAX);
    long rest = bench_arg(argc, argv, 3, "MILLISECONDS", 1200, 0, 3600000);

    struct bench_span total = {0};
    double before = bench_faults();
    for (long i = 0; i < bursts; i++) {
        struct bench_span span;
        if (i > 0)
            bench_sleep((double)rest / 1000);
        bench_start(&span);
        burst(requests);
        bench_stop(&span);
        total.wall += span.wall;
        total.cpu += span.cpu;
    }
    double faults = bench_faults() - before;
    bench_sleep(LAST_REST);
    bench_metric("rss_at_rest", bench_memory("VmRSS:"), "B", "lower");
    bench_metric("faults_per_request", faults / (double)(bursts * requests), "faults", "lower");
    printf("checksum %llu\n", (unsigned long long)sum);
    bench_report(&total, (double)(bursts * requests));
    return bench_finish();
}
