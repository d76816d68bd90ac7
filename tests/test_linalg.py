"""BLAS and LAPACK without Python's lock: the same as NumPy, in both precisions, and side by side."""

import sys
import threading

import numpy as np
import pytest

from swarmnet import SwarmnetError
from swarmnet import linalg as blas

SHAPES = [(1, 1), (5, 3), (30, 70)]
CLOSE = {np.float64: 1e-11, np.float32: 1e-2}


@pytest.fixture(params=[(dtype, n, columns) for dtype in CLOSE for n, columns in SHAPES], ids=str)
def case(request):
    """B (n, columns), a positive definite A (n, n), its lower factor, and how close results must come."""
    dtype, n, columns = request.param
    B = np.random.default_rng(n).normal(size=(n, columns)).astype(dtype)
    A = np.asfortranarray(B @ B.T + 10 * np.eye(n, dtype=dtype))
    return B, A, np.asfortranarray(np.linalg.cholesky(A)), {"rtol": CLOSE[dtype], "atol": CLOSE[dtype]}


@pytest.mark.parametrize("lower", [False, True])
def test_gram_is_added_to_one_half(case, lower):
    B, A, _, close = case
    total = A.copy(order="F")
    blas.add_gram(B, total, lower)
    half = np.tril if lower else np.triu
    np.testing.assert_allclose(half(total), half(A + B @ B.T), **close)
    np.testing.assert_array_equal(total - half(total), A - half(A))


def test_factor_and_inverse(case):
    _, A, L, close = case
    found = A.copy(order="F")
    assert blas.factor(found)
    np.testing.assert_allclose(np.tril(found), L, **close)
    inverse = blas.inverse(found)
    np.testing.assert_allclose(inverse @ L, np.eye(len(L)), **close)
    np.testing.assert_array_equal(inverse, np.tril(inverse))


def test_an_indefinite_matrix_has_no_factor():
    assert not blas.factor(np.asfortranarray([[1.0, 2.0], [2.0, 1.0]]))


def test_triangular_products_and_solutions(case):
    B, A, L, close = case
    np.testing.assert_allclose(L @ blas.divide(L, B.copy()), B, **close)
    np.testing.assert_allclose(L.T @ blas.divide(L, B.copy(), transposed=True), B, **close)
    np.testing.assert_allclose(L @ blas.divide(L, B[:, 0].copy()), B[:, 0], **close)
    np.testing.assert_allclose(L.T @ blas.divide(L, B[:, 0].copy(), transposed=True), B[:, 0], **close)
    np.testing.assert_allclose(blas.multiply(L, B.copy()), L @ B, **close)
    np.testing.assert_allclose(A @ blas.solve(L, B[:, 0]), B[:, 0], **close)


@pytest.mark.parametrize(
    ("L", "B"),
    [
        (np.eye(3, 4), np.ones((3, 2))[:, ::-1]),
        (np.tri(3), np.ones((3, 2))),
        (np.asfortranarray(np.tri(3)), np.ones((3, 2), np.float32)),
        (np.asfortranarray(np.tri(3)), np.ones((2, 3)).T),
    ],
    ids=["strides", "C order", "dtype", "Fortran order"],
)
def test_arrays_of_another_order_are_refused(L, B):
    with pytest.raises(ValueError, match="order or dtype"):
        blas.divide(L, B)


def test_integers_of_another_size_are_refused():
    with pytest.raises(SwarmnetError, match="integers of another size"):
        blas._prototype(b"void (char *, blas_int *, double *)")


@pytest.fixture
def patient_threads():
    """Threads that let others in only where they wait or let go of the lock."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("patient_threads")
def test_other_threads_go_on_meanwhile():
    """With SciPy's wrappers, which hold Python's lock, this thread would only see the end."""
    J = np.random.default_rng(0).normal(size=(1000, 1000))
    total, begun = np.zeros((1000, 1000), order="F"), threading.Event()
    blas.add_gram(J[:2, :2].copy(), np.zeros((2, 2), order="F"))  # which imports what it needs

    def work():
        begun.set()
        blas.add_gram(J, total)

    other = threading.Thread(target=work)
    other.start()
    begun.wait()
    looked = 0
    while total[-1, -1] == 0.0:
        looked += 1
    other.join()
    assert looked > 0
