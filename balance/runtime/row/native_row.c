/* The row of pure_row.py, for the compiled build: the same cells, written without a Python object for each.

   pure_row.py is the definition; tests/runtime/row run both through the same calls and compare every cell. The layout is
   counters.py's: what is repeated here is checked against it when the module is imported (LAYOUT, in __init__.py), so that a
   module that was built for another layout is refused rather than writes into other counters.

   Stricter than the definition only where a caller breaks the contract: a slot, a Why or a status that the row has no cell for
   raises before anything is written. Cells have one writer and many readers, in other processes: each is written by one store
   of 64 aligned bits, as the memoryview does. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdint.h>
#include <string.h>

#define LENGTH(array) (int)(sizeof(array) / sizeof *(array))

enum {
    SERIES_LOST = 10,
    BYTES_IN = 5,
    BYTES_OUT = 6,
    WHY = 32,
    REQUEST_SIZE = 96,
    RESPONSE_SIZE = 112,
    EXEMPLARS = 192,
    EXEMPLAR = 5,
    EXEMPLAR_ENTRIES = 256,
    BACKENDS = EXEMPLARS + EXEMPLAR * EXEMPLAR_ENTRIES,
    BLOCK = 64,
    SENT_BYTES = 8,
    RECEIVED_BYTES = 9,
    UPSTREAM_TIME = 16,
    REQUEST_TIME = 32,
    ROUTE_HITS = 53,
    SERIES_ANYWAY = 2048,
    SERIES_PER_BACKEND = 4,
    MAX_TIME_BUCKETS = 14,
    TIME_SUM = MAX_TIME_BUCKETS + 1,
    SIZE_SUM = 8,
    WHYS = REQUEST_SIZE - WHY, /* cells that there are for them */
    STATUSES = 1 << 10,        /* a series' key has ten bits for one */
    MAX_SLOT = (1 << 22) - 1,  /* and 22 for a slot */
};

static const int64_t SIZE_BUCKETS[] = {100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
static const int64_t TIME_BUCKETS_US[] = {500,    1000,   2500,   5000,    10000,   25000,   50000,
                                          100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};
static const char *const METHODS[] = {"", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"};
enum { METHOD_OTHER = LENGTH(METHODS) - 1 };

typedef struct {
    uint64_t key; /* 0: free */
    Py_ssize_t cell;
} Series;

typedef struct {
    PyObject_HEAD
    /* The memoryview. No buffer is taken of it: up to CPython 3.11 the collector crashes on a cycle through a memoryview that
       has exported one. It says itself whether it was released. NULL once the collector has cleared us. */
    PyObject *cells;
    uint64_t *at;       /* where its memory is */
    Py_ssize_t len;     /* in cells */
    Py_ssize_t blocks;  /* how many blocks lie before the series */
    Py_ssize_t free;    /* the next free pair */
    Series *series;     /* where each key is counted: a table with open addressing */
    size_t series_mask; /* its size, a power of two, less one */
    size_t series_used;
    int bounds_count;
    int64_t bounds[MAX_TIME_BUCKETS];
} Row;

/* --- cells ------------------------------------------------------------------------------------------ */

static inline void
put(Row *row, Py_ssize_t cell, uint64_t value)
{
    __atomic_store_n(row->at + cell, value, __ATOMIC_RELAXED);
}

/* Add to a cell that is in the row. As with the memoryview, a sum that has no place in 64 bits raises and changes nothing. */
static inline int
add(Row *row, Py_ssize_t cell, int64_t amount)
{
    uint64_t sum;
    if (__builtin_add_overflow(row->at[cell], amount, &sum)) {
        PyErr_SetString(PyExc_ValueError, "a counter leaves its 64 bits");
        return -1;
    }
    put(row, cell, sum);
    return 0;
}

/* As bisect_left() finds it. */
static inline int
bucket_of(const int64_t *bounds, int count, int64_t value)
{
    int low = 0;
    while (low < count) {
        int middle = (low + count) / 2;
        if (bounds[middle] < value)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

static inline int
size_bucket(int64_t size)
{
    return bucket_of(SIZE_BUCKETS, LENGTH(SIZE_BUCKETS), size);
}

/* As the memoryview asks before each access. */
static inline int
is_usable(Row *row)
{
    PyMemoryViewObject *view = (PyMemoryViewObject *)row->cells;
    if (view != NULL && !(view->flags & _Py_MEMORYVIEW_RELEASED) && !(view->mbuf->flags & _Py_MANAGED_BUFFER_RELEASED))
        return 1;
    PyErr_SetString(PyExc_ValueError, "the row's memory was released");
    return 0;
}

/* --- arguments --------------------------------------------------------------------------------------- */

static int
has_arguments(const char *name, Py_ssize_t count, Py_ssize_t wanted)
{
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments (%zd given)", name, wanted, count);
        return 0;
    }
    return 1;
}

/* What does not fit into 64 bits is a ValueError, as when a memoryview is given it. */
static int
no_number(void)
{
    if (PyErr_ExceptionMatches(PyExc_OverflowError))
        PyErr_SetString(PyExc_ValueError, "the number does not fit into 64 bits");
    return 0;
}

static inline int
is_number(PyObject *value, int64_t *number)
{
    *number = PyLong_AsLongLong(value);
    return *number != -1 || !PyErr_Occurred() || no_number();
}

static inline int
is_key(PyObject *value, uint64_t *key)
{
    *key = PyLong_AsUnsignedLongLong(value);
    return *key != (uint64_t)-1 || !PyErr_Occurred() || no_number();
}

/* `count` cells from this one on lie in the row. */
static int
has_cells(Row *row, int64_t first, Py_ssize_t count)
{
    if (first < 0 || first > row->len - count) {
        PyErr_SetString(PyExc_IndexError, "the row has no such cell");
        return 0;
    }
    return 1;
}

/* --- series ------------------------------------------------------------------------------------------ */

static inline Series *
place_of(Series *table, size_t mask, uint64_t key)
{
    size_t at = (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & mask;
    while (table[at].key != 0 && table[at].key != key)
        at = (at + 1) & mask;
    return table + at;
}

/* Room for one key more; half of the table stays free. */
static int
make_room(Row *row)
{
    size_t size = row->series == NULL ? 0 : row->series_mask + 1;
    if (2 * (row->series_used + 1) <= size)
        return 0;
    size = size == 0 ? 64 : 2 * size;
    Series *table = PyMem_Calloc(size, sizeof *table);
    if (table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t at = 0; row->series != NULL && at <= row->series_mask; at++)
        if (row->series[at].key != 0)
            *place_of(table, size - 1, row->series[at].key) = row->series[at];
    PyMem_Free(row->series);
    row->series = table;
    row->series_mask = size - 1;
    return 0;
}

static int
remember(Row *row, uint64_t key, Py_ssize_t cell)
{
    if (make_room(row) < 0)
        return -1;
    *place_of(row->series, row->series_mask, key) = (Series){key, cell};
    row->series_used++;
    return 0;
}

static int
count_key(Row *row, uint64_t key)
{
    if (key == 0) {
        PyErr_SetString(PyExc_ValueError, "a series has a key");
        return -1;
    }
    Series *series = place_of(row->series, row->series_mask, key);
    if (series->key == key)
        return add(row, series->cell, 1);
    Py_ssize_t pair = row->free;
    if (pair >= row->len)
        return add(row, SERIES_LOST, 1);
    if (remember(row, key, pair + 1) < 0)
        return -1;
    put(row, pair + 1, 1);
    __atomic_store_n(row->at + pair, key, __ATOMIC_RELEASE); /* a reader must not see a key without its count */
    row->free = pair + 2;
    return 0;
}

static PyObject *
count_request(Row *row, PyObject *value)
{
    uint64_t key;
    if (!is_key(value, &key) || !is_usable(row) || count_key(row, key) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* --- a request that ended ---------------------------------------------------------------------------- */

static inline int
method_code(const char *name, Py_ssize_t size)
{
    if (size == 3 && memcmp(name, "GET", 3) == 0)
        return 1;
    for (int code = 0; code < METHOD_OTHER; code++)
        if ((Py_ssize_t)strlen(METHODS[code]) == size && memcmp(METHODS[code], name, size) == 0)
            return code;
    return METHOD_OTHER;
}

static PyObject *
count_exchange(Row *row, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("count_exchange", count, 10))
        return NULL;
    if (!PyBytes_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "a method is bytes");
        return NULL;
    }
    int64_t slot, status, why, request_us, upstream_us, size_in, size_out, route_block;
    uint64_t route;
    if (!is_number(arguments[0], &slot) || !is_key(arguments[1], &route) || !is_number(arguments[3], &status)
        || !is_number(arguments[4], &why) || !is_number(arguments[5], &request_us) || !is_number(arguments[6], &upstream_us)
        || !is_number(arguments[7], &size_in) || !is_number(arguments[8], &size_out) || !is_number(arguments[9], &route_block)
        || !is_usable(row))
        return NULL;
    if (slot < 0 || slot >= row->blocks || slot > MAX_SLOT || why < 0 || why >= WHYS || status < 0 || status >= STATUSES) {
        PyErr_SetString(PyExc_IndexError, "the row has no such slot, Why or status");
        return NULL;
    }
    if (!has_cells(row, route_block, BLOCK))
        return NULL;

    int method = method_code(PyBytes_AS_STRING(arguments[2]), PyBytes_GET_SIZE(arguments[2]));
    Py_ssize_t base = BACKENDS + BLOCK * (Py_ssize_t)slot;
    if (add(row, base + SENT_BYTES, size_in) < 0 || add(row, base + RECEIVED_BYTES, size_out) < 0)
        return NULL;
    int bucket = bucket_of(row->bounds, row->bounds_count, request_us);
    if (add(row, base + REQUEST_TIME + bucket, 1) < 0 || add(row, base + REQUEST_TIME + TIME_SUM, request_us) < 0)
        return NULL;
    if (upstream_us >= 0) {
        if (bucket > 0 && upstream_us <= row->bounds[bucket - 1])
            bucket = bucket_of(row->bounds, row->bounds_count, upstream_us);
        if (add(row, base + UPSTREAM_TIME + bucket, 1) < 0 || add(row, base + UPSTREAM_TIME + TIME_SUM, upstream_us) < 0)
            return NULL;
    }
    if (add(row, REQUEST_SIZE + size_bucket(size_in), 1) < 0 || add(row, REQUEST_SIZE + SIZE_SUM, size_in) < 0
        || add(row, RESPONSE_SIZE + size_bucket(size_out), 1) < 0 || add(row, RESPONSE_SIZE + SIZE_SUM, size_out) < 0
        || add(row, WHY + (Py_ssize_t)why, 1) < 0)
        return NULL;
    if (route_block != 0 && add(row, (Py_ssize_t)route_block + ROUTE_HITS, 1) < 0)
        return NULL;
    if (count_key(row, route | (uint64_t)slot << 20 | (uint64_t)method << 10 | (uint64_t)status) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* --- histograms, bytes and exemplars ------------------------------------------------------------------ */

static PyObject *
observe_time(Row *row, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("observe_time", count, 2))
        return NULL;
    int64_t base, us;
    if (!is_number(arguments[0], &base) || !is_number(arguments[1], &us) || !is_usable(row)
        || !has_cells(row, base, TIME_SUM + 1))
        return NULL;
    if (add(row, (Py_ssize_t)base + bucket_of(row->bounds, row->bounds_count, us), 1) < 0
        || add(row, (Py_ssize_t)base + TIME_SUM, us) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
observe_size(Row *row, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("observe_size", count, 2))
        return NULL;
    int64_t base, size;
    if (!is_number(arguments[0], &base) || !is_number(arguments[1], &size) || !is_usable(row)
        || !has_cells(row, base, SIZE_SUM + 1))
        return NULL;
    if (add(row, (Py_ssize_t)base + size_bucket(size), 1) < 0 || add(row, (Py_ssize_t)base + SIZE_SUM, size) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
count_one(Row *row, PyObject *number)
{
    int64_t cell;
    if (!is_number(number, &cell) || !is_usable(row) || !has_cells(row, cell, 1) || add(row, (Py_ssize_t)cell, 1) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
count_moved(Row *row, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("count_moved", count, 3))
        return NULL;
    int64_t block, from_client, from_backend;
    if (!is_number(arguments[0], &block) || !is_number(arguments[1], &from_client) || !is_number(arguments[2], &from_backend)
        || !is_usable(row) || !has_cells(row, block, BLOCK))
        return NULL;
    if (add(row, BYTES_IN, from_client) < 0 || add(row, BYTES_OUT, from_backend) < 0
        || add(row, (Py_ssize_t)block + SENT_BYTES, from_client) < 0
        || add(row, (Py_ssize_t)block + RECEIVED_BYTES, from_backend) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static uint64_t
big_endian(const unsigned char *bytes)
{
    uint64_t result = 0;
    for (int at = 0; at < 8; at++)
        result = result << 8 | bytes[at];
    return result;
}

static PyObject *
note_exemplar(Row *row, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("note_exemplar", count, 4))
        return NULL;
    if (!PyBytes_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "a trace id is bytes");
        return NULL;
    }
    int64_t slot, request_us;
    if (!is_number(arguments[0], &slot) || !is_number(arguments[1], &request_us))
        return NULL;
    double epoch_us = PyFloat_AsDouble(arguments[3]) * 1e6;
    if (PyErr_Occurred() || !is_usable(row))
        return NULL;
    /* Not "or more": NaN, too, is refused. 2 ** 64 is the first that a cell can't hold. */
    if (slot < 0 || slot > MAX_SLOT || request_us < 0 || PyBytes_GET_SIZE(arguments[2]) != 16
        || !(epoch_us >= 0 && epoch_us < 18446744073709551616.0)) {
        PyErr_SetString(PyExc_ValueError, "no such slot, time or trace");
        return NULL;
    }
    const unsigned char *trace_id = (const unsigned char *)PyBytes_AS_STRING(arguments[2]);
    uint64_t bucket = (uint64_t)slot * (MAX_TIME_BUCKETS + 1) + bucket_of(row->bounds, row->bounds_count, request_us);
    Py_ssize_t entry = EXEMPLARS + EXEMPLAR * (Py_ssize_t)(bucket % EXEMPLAR_ENTRIES);
    put(row, entry, 0); /* a reader in between sees none rather than half of two */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    put(row, entry + 1, bucket);
    put(row, entry + 2, (uint64_t)request_us);
    put(row, entry + 3, big_endian(trace_id));
    put(row, entry + 4, big_endian(trace_id + 8));
    __atomic_store_n(row->at + entry, (uint64_t)epoch_us, __ATOMIC_RELEASE);
    Py_RETURN_NONE;
}

/* --- a row's life ------------------------------------------------------------------------------------ */

static int
take_bounds(Row *row, PyObject *bounds)
{
    PyObject *fast = PySequence_Fast(bounds, "the bounds of histograms are a sequence");
    if (fast == NULL)
        return -1;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(fast);
    int result = 0;
    if (count > MAX_TIME_BUCKETS) {
        PyErr_Format(PyExc_ValueError, "%zd bounds are more than %d", count, MAX_TIME_BUCKETS);
        result = -1;
    }
    for (Py_ssize_t at = 0; result == 0 && at < count; at++)
        result = is_number(PySequence_Fast_GET_ITEM(fast, at), row->bounds + at) ? 0 : -1;
    row->bounds_count = (int)count;
    Py_DECREF(fast);
    return result;
}

static int
take_cells(Row *row, PyObject *cells)
{
    if (!PyMemoryView_Check(cells)) {
        PyErr_SetString(PyExc_TypeError, "a row's cells are a memoryview");
        return -1;
    }
    row->cells = Py_NewRef(cells);
    if (!is_usable(row))
        return -1;
    const Py_buffer *view = PyMemoryView_GET_BUFFER(cells);
    if (view->ndim != 1 || view->itemsize != 8 || view->format == NULL || strcmp(view->format, "Q") != 0 || view->readonly
        || !PyBuffer_IsContiguous(view, 'C') || (uintptr_t)view->buf % 8 != 0) {
        PyErr_SetString(PyExc_ValueError, "a row is aligned cells of format Q that can be written");
        return -1;
    }
    Py_ssize_t len = view->shape[0];
    if (len < BACKENDS + 2 * SERIES_ANYWAY || len % 2 != 0) {
        PyErr_SetString(PyExc_ValueError, "a row has row_cells() cells");
        return -1;
    }
    row->blocks = (len - BACKENDS - 2 * SERIES_ANYWAY) / (BLOCK + 2 * SERIES_PER_BACKEND);
    row->free = BACKENDS + BLOCK * row->blocks;
    row->len = len;
    row->at = view->buf;
    if (make_room(row) < 0)
        return -1;
    for (; row->free < len && row->at[row->free] != 0; row->free += 2)
        if (remember(row, row->at[row->free], row->free + 1) < 0)
            return -1;
    return 0;
}

static PyObject *
row_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"cells", "time_buckets_us", NULL};
    PyObject *cells, *bounds = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:Row", names, &cells, &bounds))
        return NULL;
    Row *row = (Row *)type->tp_alloc(type, 0); /* all zero: a row without memory */
    if (row == NULL)
        return NULL;
    if (bounds == NULL) {
        row->bounds_count = LENGTH(TIME_BUCKETS_US);
        memcpy(row->bounds, TIME_BUCKETS_US, sizeof TIME_BUCKETS_US);
    }
    if ((bounds != NULL && take_bounds(row, bounds) < 0) || take_cells(row, cells) < 0)
        Py_CLEAR(row);
    return (PyObject *)row;
}

static int
row_traverse(Row *row, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(row));
    Py_VISIT(row->cells);
    return 0;
}

static int
row_clear(Row *row)
{
    Py_CLEAR(row->cells);
    return 0;
}

static void
row_dealloc(Row *row)
{
    PyTypeObject *type = Py_TYPE(row);
    PyObject_GC_UnTrack(row);
    row_clear(row);
    PyMem_Free(row->series);
    type->tp_free(row);
    Py_DECREF(type);
}

static PyMethodDef row_methods[] = {
    {"count_request", (PyCFunction)count_request, METH_O, "Add one to the series of this series_key()."},
    {"count_exchange", (PyCFunction)(void (*)(void))count_exchange, METH_FASTCALL, "Count everything of one request that ended."},
    {"observe_time", (PyCFunction)(void (*)(void))observe_time, METH_FASTCALL, "Add microseconds to the histogram at a cell."},
    {"observe_size", (PyCFunction)(void (*)(void))observe_size, METH_FASTCALL, "Add bytes to the histogram at a cell."},
    {"count_one", (PyCFunction)count_one, METH_O, "Add 1 to a cell."},
    {"count_moved", (PyCFunction)(void (*)(void))count_moved, METH_FASTCALL, "Count bytes of TCP mode or a tunnel."},
    {"note_exemplar", (PyCFunction)(void (*)(void))note_exemplar, METH_FASTCALL, "Remember the trace of a request that ended."},
    {NULL},
};

static PyMemberDef row_members[] = {
    {"cells", T_OBJECT_EX, offsetof(Row, cells), READONLY, "The memoryview."},
    {NULL},
};

static PyType_Slot row_slots[] = {
    {Py_tp_doc, "One worker's row: see pure_row.py."},
    {Py_tp_new, row_new},
    {Py_tp_dealloc, row_dealloc},
    {Py_tp_traverse, row_traverse},
    {Py_tp_clear, row_clear},
    {Py_tp_methods, row_methods},
    {Py_tp_members, row_members},
    {0, NULL},
};

static PyType_Spec row_spec = {
    .name = "balance.runtime.row.native_row.Row",
    .basicsize = sizeof(Row),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = row_slots,
};

/* --- the module -------------------------------------------------------------------------------------- */

static int
add_number(PyObject *layout, const char *name, long value)
{
    PyObject *object = PyLong_FromLong(value);
    int result = object == NULL ? -1 : PyDict_SetItemString(layout, name, object);
    Py_XDECREF(object);
    return result;
}

static int
add_tuple(PyObject *layout, const char *name, PyObject *tuple)
{
    int result = tuple == NULL || PyErr_Occurred() ? -1 : PyDict_SetItemString(layout, name, tuple);
    Py_XDECREF(tuple);
    return result;
}

static PyObject *
numbers(const int64_t *values, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t at = 0; tuple != NULL && at < count; at++) {
        PyObject *value = PyLong_FromLongLong(values[at]);
        if (value == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, at, value);
    }
    return tuple;
}

static PyObject *
methods(void)
{
    PyObject *tuple = PyTuple_New(METHOD_OTHER + 1);
    for (Py_ssize_t at = 0; tuple != NULL && at <= METHOD_OTHER; at++) {
        PyObject *name = PyUnicode_FromString(METHODS[at]);
        if (name == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, at, name);
    }
    return tuple;
}

#define LAID_OUT(name) add_number(layout, #name, name) < 0

static int
module_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &row_spec, NULL);
    PyObject *layout = PyDict_New();
    int result = -1;
    if (type == NULL || layout == NULL || LAID_OUT(SERIES_LOST) || LAID_OUT(BYTES_IN) || LAID_OUT(BYTES_OUT) || LAID_OUT(WHY)
        || LAID_OUT(REQUEST_SIZE) || LAID_OUT(RESPONSE_SIZE) || LAID_OUT(EXEMPLARS) || LAID_OUT(EXEMPLAR)
        || LAID_OUT(EXEMPLAR_ENTRIES) || LAID_OUT(BACKENDS) || LAID_OUT(BLOCK) || LAID_OUT(SENT_BYTES)
        || LAID_OUT(RECEIVED_BYTES) || LAID_OUT(UPSTREAM_TIME) || LAID_OUT(REQUEST_TIME) || LAID_OUT(ROUTE_HITS)
        || LAID_OUT(SERIES_ANYWAY) || LAID_OUT(SERIES_PER_BACKEND) || LAID_OUT(MAX_TIME_BUCKETS) || LAID_OUT(TIME_SUM)
        || LAID_OUT(SIZE_SUM) || LAID_OUT(METHOD_OTHER) || add_tuple(layout, "SIZE_BUCKETS", numbers(SIZE_BUCKETS, LENGTH(SIZE_BUCKETS))) < 0
        || add_tuple(layout, "TIME_BUCKETS_US", numbers(TIME_BUCKETS_US, LENGTH(TIME_BUCKETS_US))) < 0
        || add_tuple(layout, "METHODS", methods()) < 0)
        goto end;
    if (PyModule_AddObjectRef(module, "Row", type) < 0 || PyModule_AddObjectRef(module, "LAYOUT", layout) < 0)
        goto end;
    result = 0;
end:
    Py_XDECREF(type);
    Py_XDECREF(layout);
    return result;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "native_row",
    .m_doc = "The counters' row of the compiled build; pure_row.py says what it does.",
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit_native_row(void)
{
    return PyModuleDef_Init(&module);
}
