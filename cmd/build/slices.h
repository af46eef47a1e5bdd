/* Included before all that mypyc writes: `data[start:end]` of bytes is empty where it ends before it begins, as in Python.
 * mypyc (2.4.1, lib-rt/bytes_ops.c, CPyBytes_GetSlice) asks for an object of that negative size, and a SystemError is raised.
 */
#ifndef BALANCE_SLICES_H
#define BALANCE_SLICES_H
#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

static inline PyObject *slice_of_bytes(const char *data, Py_ssize_t size) {
    return PyBytes_FromStringAndSize(data, size < 0 ? 0 : size);
}

static inline PyObject *slice_of_bytearray(const char *data, Py_ssize_t size) {
    return PyByteArray_FromStringAndSize(data, size < 0 ? 0 : size);
}

#define PyBytes_FromStringAndSize slice_of_bytes
#define PyByteArray_FromStringAndSize slice_of_bytearray
#endif
