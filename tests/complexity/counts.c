/* Counts and score of texts, for measure.py: reads "<bytes>\\n<text>" over and over, prints a line of numbers for each.
 * With an argument N it counts each text N times and ends with the nanoseconds that one took.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../core/complexity.h"

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static char text[1 << 20];
    size_t n, texts = 0;
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    double spent_ns = 0;
    while (scanf("%zu", &n) == 1 && getchar() == '\n' && n <= sizeof(text) && fread(text, 1, n, stdin) == n) {
        struct weir_complexity c;
        double begin = now_ns();
        for (int i = 0; i < rounds; i++) {
            c = (struct weir_complexity){ 0 };
            complexity_count((struct weir_str){ text, n }, &c);
            c.score = complexity_score(&c);
        }
        spent_ns += now_ns() - begin;
        texts++;
        printf("%u %u %u %u %u %u %u %u %.17g\n", c.words, c.sentences, c.numbers, c.maths, c.code, c.conditions,
               c.negations, c.quantities, c.score);
    }
    if (argc > 1 && texts && rounds > 0)
        printf("ns %.0f\n", spent_ns / (double)texts / rounds);
    return 0;
}
