// Times OpenBLAS's sgemm for C[M,N] = A[M,K] · B[N,K]ᵀ: openblas THREADS SECONDS reads lines "M N K" from stdin and
// answers each with the best GFLOP/s of repeated products within SECONDS.
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

extern void openblas_set_num_threads(int);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static float *random_matrix(size_t n) {
    float *p = malloc(n * sizeof *p);
    unsigned s = 1;
    for (size_t i = 0; p && i < n; i++) {
        s = s * 1664525u + 1013904223u;
        p[i] = (float)(s >> 8) / (1 << 24) - 0.5f;
    }
    return p;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: openblas THREADS SECONDS\n");
        return 2;
    }
    openblas_set_num_threads(atoi(argv[1]));
    double limit = atof(argv[2]);
    int m, n, k;
    while (scanf("%d %d %d", &m, &n, &k) == 3) {
        float *a = random_matrix((size_t)m * k), *b = random_matrix((size_t)n * k), *c = random_matrix((size_t)m * n);
        if (!a || !b || !c) {
            fprintf(stderr, "openblas: out of memory\n");
            return 1;
        }
        double best = 1e30, begin = now();
        do {
            double t = now();
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a, k, b, k, 0, c, n);
            t = now() - t;
            if (t < best) best = t;
        } while (now() - begin < limit);
        printf("%.2f\n", 2.0 * m * n * k / best * 1e-9);
        fflush(stdout);
        free(a), free(b), free(c);
    }
    return 0;
}
