/* SPDX-License-Identifier: MIT */
/*
 * cfrac - arithmetic on numbers of a few words, each a block of its own that lives for a handful of operations.
 *
 *     cfrac [TERMS [DIGITS]]
 *
 * Pattern: one thread; the continued fraction of the square root of a number of DIGITS 32-bit digits, TERMS terms of
 * it, with the numerators of its convergents modulo that number.  Every sum, product, quotient and remainder is a new
 * block of 8 to 60 bytes or so, and what it was computed from is freed right after.  At the end the identity on which
 * factoring by continued fractions rests, A^2 = (-1)^k Q (mod N), shows that the arithmetic was right.
 * Source: cfrac, Dave Barrett's continued fraction factoring program, an allocation benchmark since D. Detlefs,
 * A. Dosser and B. Zorn, "Memory Allocation Costs in Large C and C++ Programs", 1994.
 */
#include "bench.h"

/* A natural number: `length` digits, the least significant first, no leading zero; zero has length 0. */
struct number {
    uint32_t length;
    uint32_t digit[];
};

static struct number *make(size_t digits)
{
    struct number *n = bench_need(malloc(sizeof *n + digits * sizeof n->digit[0]));
    n->length = (uint32_t)digits;
    return n;
}

static struct number *trim(struct number *n)
{
    while (n->length > 0 && n->digit[n->length - 1] == 0)
        n->length--;
    return n;
}

static struct number *small(uint32_t value)
{
    struct number *n = make(1);
    n->digit[0] = value;
    return trim(n);
}

static int compare(const struct number *a, const struct number *b)
{
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    for (uint32_t i = a->length; i-- > 0;)
        if (a->digit[i] != b->digit[i])
            return a->digit[i] < b->digit[i] ? -1 : 1;
    return 0;
}

static struct number *add(const struct number *a, const struct number *b)
{
    if (a->length < b->length)
        return add(b, a);
    struct number *sum = make(a->length + 1);
    uint64_t carry = 0;
    for (uint32_t i = 0; i < a->length; i++) {
        carry += (uint64_t)a->digit[i] + (i < b->length ? b->digit[i] : 0);
        sum->digit[i] = (uint32_t)carry;
        carry >>= 32;
    }
    sum->digit[a->length] = (uint32_t)carry;
    return trim(sum);
}

/* a - b, where a is not the smaller. */
static struct number *subtract(const struct number *a, const struct number *b)
{
    struct number *difference = make(a->length);
    int64_t borrow = 0;
    for (uint32_t i = 0; i < a->length; i++) {
        borrow += (int64_t)a->digit[i] - (i < b->length ? b->digit[i] : 0);
        difference->digit[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    return trim(difference);
}

static struct number *multiply(const struct number *a, const struct number *b)
{
    struct number *product = make(a->length + b->length);
    memset(product->digit, 0, product->length * sizeof product->digit[0]);
    for (uint32_t i = 0; i < a->length; i++) {
        uint64_t carry = 0;
        for (uint32_t j = 0; j < b->length; j++) {
            carry += (uint64_t)a->digit[i] * b->digit[j] + product->digit[i + j];
            product->digit[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        product->digit[i + b->length] = (uint32_t)carry;
    }
    return trim(product);
}

/* 2n + bit. */
static struct number *shift_in(const struct number *n, uint32_t bit)
{
    struct number *shifted = make(n->length + 1);
    for (uint32_t i = 0; i < n->length; i++) {
        shifted->digit[i] = n->digit[i] << 1 | bit;
        bit = n->digit[i] >> 31;
    }
    shifted->digit[n->length] = bit;
    return trim(shifted);
}

static struct number *copy(const struct number *n)
{
    struct number *same = make(n->length);
    memcpy(same->digit, n->digit, n->length * sizeof n->digit[0]);
    return same;
}

/* Puts `value` where an older number was: how every intermediate result dies. */
static void replace(struct number **variable, struct number *value)
{
    free(*variable);
    *variable = value;
}

#define DIGITS_MOST 16
#define DEPTH_MOST (32 * (2 * DIGITS_MOST + 2))

/*
 * Quotient, and the remainder in *remainder.  The quotients of a continued fraction are small nearly always, so doubled
 * divisors are subtracted from the largest down: a loop that does little but allocate.
 */
static struct number *divide(const struct number *a, const struct number *b, struct number **remainder)
{
    struct number *doubled[DEPTH_MOST];
    int depth = 0;
    doubled[0] = copy(b);
    while (compare(doubled[depth], a) <= 0) {
        doubled[depth + 1] = shift_in(doubled[depth], 0);
        depth++;
    }
    struct number *quotient = small(0), *rest = copy(a);
    for (; depth >= 0; depth--) {
        bool fits = compare(doubled[depth], rest) <= 0;
        if (fits)
            replace(&rest, subtract(rest, doubled[depth]));
        replace(&quotient, shift_in(quotient, fits));
        free(doubled[depth]);
    }
    *remainder = rest;
    return quotient;
}

static struct number *modulo(const struct number *a, const struct number *n)
{
    struct number *remainder;
    free(divide(a, n, &remainder));
    return remainder;
}

/* The square root rounded down, by Newton's iteration from above. */
static struct number *square_root(const struct number *n)
{
    struct number *two = small(2), *root = copy(n), *rest;
    for (;;) {
        struct number *quotient = divide(n, root, &rest);
        replace(&rest, add(root, quotient));
        replace(&quotient, rest);
        struct number *next = divide(quotient, two, &rest);
        free(rest);
        free(quotient);
        if (compare(next, root) >= 0) {
            free(next);
            free(two);
            return root;
        }
        replace(&root, next);
    }
}

/* The numbers of step k of the expansion; `sign` is (-1)^k. */
struct expansion {
    struct number *n, *root;
    struct number *p, *q, *q_before, *term;
    struct number *a, *a_before;
    int sign;
};

static void step(struct expansion *e)
{
    struct number *rest, *product = multiply(e->term, e->q);
    struct number *p = subtract(product, e->p);
    bool falls = compare(e->p, p) >= 0;
    struct number *change = falls ? subtract(e->p, p) : subtract(p, e->p);
    replace(&product, multiply(e->term, change));
    replace(&e->q_before, falls ? add(e->q_before, product) : subtract(e->q_before, product));
    free(product);
    free(change);
    replace(&e->p, p);

    struct number *q = e->q_before;
    e->q_before = e->q;
    e->q = q;
    struct number *sum = add(e->root, p);
    replace(&e->term, divide(sum, q, &rest));
    free(rest);
    free(sum);

    product = multiply(e->term, e->a);
    replace(&product, add(product, e->a_before));
    replace(&e->a_before, e->a);
    e->a = modulo(product, e->n);
    free(product);
    e->sign = -e->sign;
}

/* a_before^2 = (-1)^k q (mod n) at step k: a mistake anywhere before would break it. */
static bool identity_holds(const struct expansion *e)
{
    struct number *square = multiply(e->a_before, e->a_before);
    struct number *left = modulo(square, e->n), *right = modulo(e->q, e->n);
    if (e->sign < 0)
        replace(&right, subtract(e->n, right));
    bool same = compare(left, right) == 0;
    free(square);
    free(left);
    free(right);
    return same;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[TERMS [DIGITS]]");
    long terms = bench_arg(argc, argv, 1, "TERMS", 2000000, 1, INT64_MAX);
    long digits = bench_arg(argc, argv, 2, "DIGITS", 6, 2, DIGITS_MOST);

    uint64_t random = 17;
    struct expansion e = {.n = make((size_t)digits), .sign = 1};
    for (long i = 0; i < digits; i++)
        e.n->digit[i] = (uint32_t)bench_random(&random) | (i == 0 || i == digits - 1);
    e.root = square_root(e.n);
    e.p = small(0);
    e.q = small(1);
    e.q_before = copy(e.n);
    e.term = copy(e.root);
    e.a = copy(e.root);
    e.a_before = small(1);

    struct bench_span span;
    bench_start(&span);
    for (long i = 0; i < terms; i++)
        step(&e);
    bench_stop(&span);
    if (!identity_holds(&e))
        bench_die("the arithmetic went wrong");

    struct number *all[] = {e.n, e.root, e.p, e.q, e.q_before, e.term, e.a, e.a_before};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    bench_report(&span, 0);
    return bench_finish();
}
