$header

#include <math.h>

#ifdef __cplusplus
extern "C" {
#endif
$prototypes
#ifdef __cplusplus
}
#endif

enum { D = $d, K = $k, LAYERS = $layers, WIDTH = $width };

/* One layer: z[u] = b[u] + sum over i of a[i] W[i * out + u]. Then f gives f(z), its slope and so on. */
typedef struct {
    int in, out;
    const double *W, *b;
    void (*f)(double z, double *f);
} Layer;

//if trend
/* Row r of the polynomial is factor row[a] row[b] - share row[c], where row[-1] is 1. */
typedef struct {
    int a, b, c;
    double factor, share;
} Step;

//end
typedef struct {
    int layers;
    const Layer *layer;
//if std
    const double *theta; /* all weights, layer by layer: W and then b, and last the coefficients */
//end
//if trend
    int steps, terms;
    const Step *step;
    const int *term; /* the row of each term */
    const double *centre, *half, *coefficients;
//end
} Network;

/* The activations A of each layer, the inputs first, with slopes S and curvatures C. */
typedef struct {
    double A[LAYERS + 1][WIDTH], S[LAYERS][WIDTH];
//if std
    double C[LAYERS][WIDTH];
//end
} Pass;

/* Derivatives along an input: T of the activations, and U before the slopes. */
typedef struct {
//if trend
    int input;
//end
    double T[LAYERS + 1][WIDTH], U[LAYERS][WIDTH];
} Tangent;

$functions
$tables
static void multiply(const Layer *layer, const double *a, double *z)
{
    for (int u = 0; u < layer->out; u++)
        z[u] = 0;
    for (int i = 0; i < layer->in; i++)
        for (int u = 0; u < layer->out; u++)
            z[u] += a[i] * layer->W[i * layer->out + u];
}

//if trend
/* The polynomial's terms at a or, unless j is -1, their derivatives along input j. */
static void terms(const Network *net, const double *a, int j, double *phi)
{
    double v[ROWS], t[ROWS];
    for (int i = 0; i < D; i++) {
        v[i] = net->terms ? (a[i] - net->centre[i]) / net->half[i] : 0;
        t[i] = i == j && net->terms ? 1 / net->half[i] : 0;
    }
    for (int n = 0; n < net->steps; n++) {
        const Step s = net->step[n];
        v[D + n] = s.factor * v[s.a] * v[s.b] - s.share * (s.c < 0 ? 1 : v[s.c]);
        t[D + n] = s.factor * (t[s.a] * v[s.b] + v[s.a] * t[s.b]) - s.share * (s.c < 0 ? 0 : t[s.c]);
    }
    for (int m = 0; m < net->terms; m++)
        phi[m] = (j < 0 ? v : t)[net->term[m]];
}

static void add_polynomial(const Network *net, const double *a, int j, double *y)
{
    double phi[TERMS];
    terms(net, a, j, phi);
    for (int m = 0; m < net->terms; m++)
        for (int o = 0; o < K; o++)
            y[o] += phi[m] * net->coefficients[m * K + o];
}

//end
/* All layers; p->A[0] is given. */
static void forward(const Network *net, Pass *p)
{
    for (int l = 0; l < net->layers; l++) {
        const Layer *layer = net->layer + l;
        double z[WIDTH], f[3];
        multiply(layer, p->A[l], z);
        for (int u = 0; u < layer->out; u++) {
            layer->f(z[u] + layer->b[u], f);
            p->A[l + 1][u] = f[0];
            p->S[l][u] = f[1];
//if std
            p->C[l][u] = f[2];
//end
        }
    }
//if trend
    add_polynomial(net, p->A[0], -1, p->A[net->layers]);
//end
}

static void tangent(const Network *net, const Pass *p, int j, Tangent *t)
{
//if trend
    t->input = j;
//end
    for (int i = 0; i < D; i++)
        t->T[0][i] = i == j;
    for (int l = 0; l < net->layers; l++) {
        multiply(net->layer + l, t->T[l], t->U[l]);
        for (int u = 0; u < net->layer[l].out; u++)
            t->T[l + 1][u] = p->S[l][u] * t->U[l][u];
    }
//if trend
    add_polynomial(net, p->A[0], j, t->T[net->layers]);
//end
}

/* The network's inputs; the number of the first that it cannot take, counted from 1, or 0. */
static int scaled(const double *x, double *a)
{
    for (int j = 0; j < D; j++) {
//if logs
        if (!isfinite(x[j]) || (X_LOG[j] && !(x[j] > 0)))
            return j + 1;
        a[j] = X_LOG[j] ? log(x[j]) : x[j];
//else
        if (!isfinite(x[j]))
            return j + 1;
        a[j] = x[j];
//end
        a[j] -= X_OFFSET[j];
//if single
        a[j] -= X_REST[j];
//end
        a[j] /= X_SCALE[j];
    }
    return 0;
}

static int refused(int input, double *answers, int count)
{
    for (int n = 0; n < count; n++)
        answers[n] = NAN;
    return input;
}

/* The outputs in the data's units. */
static void values(const Network *net, const Pass *p, double *y)
{
    for (int o = 0; o < K; o++) {
        y[o] = p->A[net->layers][o] * Y_SCALE[o];
//if single
        y[o] += Y_REST[o];
//end
        y[o] += Y_OFFSET[o];
//if logs
        y[o] = Y_LOG[o] ? exp(y[o]) : y[o];
//end
    }
}

/* The data's unit of a partial derivative, in the network's. */
//if logs
static double unit(int o, int j, const double *x, const double *y)
{
    return Y_SCALE[o] / X_SCALE[j] * (Y_LOG[o] ? y[o] : 1) / (X_LOG[j] ? x[j] : 1);
}
//else
static double unit(int o, int j)
{
    return Y_SCALE[o] / X_SCALE[j];
}
//end

//if logs
static void partials(const Network *net, const Pass *p, const double *x, double J[K][D])
//else
static void partials(const Network *net, const Pass *p, double J[K][D])
//end
{
    Tangent t;
//if logs
    double y[K];
    values(net, p, y);
//end
    for (int j = 0; j < D; j++) {
        tangent(net, p, j, &t);
        for (int o = 0; o < K; o++)
            J[o][j] = t.T[net->layers][o] * unit(o, j$at);
    }
}

int ${name}_predict(const double x[D], double y[K])
{
    Pass p;
    const int bad = scaled(x, p.A[0]);
    if (bad)
        return refused(bad, y, K);
    forward(NETWORKS, &p);
    values(NETWORKS, &p, y);
    return 0;
}

int ${name}_jacobian(const double x[D], double J[K][D])
{
    Pass p;
    const int bad = scaled(x, p.A[0]);
    if (bad)
        return refused(bad, &J[0][0], K * D);
    forward(NETWORKS, &p);
    partials(NETWORKS, &p$to_partials, J);
    return 0;
}
//if quantities

int ${name}_quantities(const double x[D], double q[$quantities])
{
    double y[K], J[K][D];
    const int bad = ${name}_predict(x, y);
    if (bad)
        return refused(bad, q, $quantities);
    ${name}_jacobian(x, J);
$formulas
    return 0;
}
//end
//if std

/* The gradient with respect to theta of output o or, unless t is 0, of its derivative along t. */
static void gradient(const Network *net, const Pass *p, const Tangent *t, int o, double *g)
{
    double a_bar[WIDTH] = {0}, t_bar[WIDTH] = {0};
    (t ? t_bar : a_bar)[o] = 1;
    for (int l = net->layers - 1; l >= 0; l--) {
        const Layer *layer = net->layer + l;
        double z_bar[WIDTH], u_bar[WIDTH];
        for (int u = 0; u < layer->out; u++) {
            u_bar[u] = p->S[l][u] * t_bar[u];
            z_bar[u] = p->S[l][u] * a_bar[u] + (t ? p->C[l][u] * t->U[l][u] * t_bar[u] : 0);
            g[layer->b - net->theta + u] = z_bar[u];
        }
        for (int i = 0; i < layer->in; i++) {
            const double *W = layer->W + i * layer->out;
            a_bar[i] = t_bar[i] = 0;
            for (int u = 0; u < layer->out; u++) {
                g[W - net->theta + u] = p->A[l][i] * z_bar[u] + (t ? t->T[l][i] * u_bar[u] : 0);
                a_bar[i] += W[u] * z_bar[u];
                t_bar[i] += W[u] * u_bar[u];
            }
        }
    }
//if trend
    double phi[TERMS];
    terms(net, p->A[0], t ? t->input : -1, phi);
    for (int m = 0; m < net->terms; m++)
        for (int c = 0; c < K; c++)
            g[net->coefficients - net->theta + m * K + c] = c == o ? phi[m] : 0;
//end
}

/* |R g|^2, where R'R is the covariance of theta; R is lower triangular and lies row by row. */
static double variance(const double *g)
{
    const double *R = ROOT;
    double sum = 0;
    for (int row = 0; row < SIZE; row++) {
        double v = 0;
        for (int c = 0; c <= row; c++)
            v += *R++ * g[c];
        sum += v * v;
    }
    return sum;
}

int ${name}_predict_std(const double x[D], double y[K], double std[K])
{
    Pass p, other;
    double g[SIZE];
    const int bad = scaled(x, p.A[0]);
    if (bad)
        return refused(refused(bad, y, K), std, K);
    forward(NETWORKS, &p);
    values(NETWORKS, &p, y);
    for (int o = 0; o < K; o++) {
        gradient(NETWORKS, &p, 0, o, g);
        std[o] = variance(g);
    }
    for (int n = 1; n < FITS; n++) {
        scaled(x, other.A[0]);
        forward(NETWORKS + n, &other);
        for (int o = 0; o < K; o++) {
            const double apart = other.A[NETWORKS[n].layers][o] - p.A[NETWORKS[0].layers][o];
            std[o] += SHARES[n] * apart * apart;
        }
    }
    for (int o = 0; o < K; o++) {
        std[o] = sqrt(std[o]) * Y_SCALE[o];
//if logs
        std[o] *= Y_LOG[o] ? y[o] : 1;
//end
    }
    return 0;
}

int ${name}_jacobian_std(const double x[D], double J[K][D], double std[K][D])
{
    Pass p, other;
    Tangent t;
    double g[SIZE], there[K][D];
    const int bad = scaled(x, p.A[0]);
    if (bad)
        return refused(refused(bad, &J[0][0], K * D), &std[0][0], K * D);
    forward(NETWORKS, &p);
    partials(NETWORKS, &p$to_partials, J);
//if logs
    double y[K], of_value[SIZE];
    values(NETWORKS, &p, y);
//end
    for (int j = 0; j < D; j++) {
        tangent(NETWORKS, &p, j, &t);
        for (int o = 0; o < K; o++) {
            gradient(NETWORKS, &p, &t, o, g);
//if logs
            if (Y_LOG[o]) { /* of exp(v) v', relative to exp(v): v' and v change */
                gradient(NETWORKS, &p, 0, o, of_value);
                for (int w = 0; w < SIZE; w++)
                    g[w] += t.T[NETWORKS[0].layers][o] * Y_SCALE[o] * of_value[w];
            }
//end
            std[o][j] = variance(g) * unit(o, j$at) * unit(o, j$at);
        }
    }
    for (int n = 1; n < FITS; n++) {
        scaled(x, other.A[0]);
        forward(NETWORKS + n, &other);
        partials(NETWORKS + n, &other$to_partials, there);
        for (int o = 0; o < K; o++)
            for (int j = 0; j < D; j++)
                std[o][j] += SHARES[n] * (there[o][j] - J[o][j]) * (there[o][j] - J[o][j]);
    }
    for (int o = 0; o < K; o++)
        for (int j = 0; j < D; j++)
            std[o][j] = sqrt(std[o][j]);
    return 0;
}
//end
