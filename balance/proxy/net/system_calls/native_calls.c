/* System calls on sockets that never block, for the compiled build. pure_calls.py is the definition, and says what each takes,
   gives and raises; tests/proxy/net/test_system_calls.py runs both through the same calls.

   No call here waits, so the interpreter's lock is kept: to give it up and take it again costs more than most of them. What is
   read goes through one buffer, and an object is made of what has come, not of the most that might. */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    MANY_BYTES = 256 * 1024,
    FEW_BYTES = MANY_BYTES, /* nothing is gained by reading less */
    MOST_EVENTS = 1024,
};

static char scratch[MANY_BYTES];

static int
is_argument_count(const char *name, Py_ssize_t count, Py_ssize_t wanted)
{
    if (count == wanted)
        return 1;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments", name, wanted);
    return 0;
}

/* -1 with an exception, or a descriptor. */
static int
descriptor(PyObject *number)
{
    long fd = PyLong_AsLong(number);
    if (fd == -1 && PyErr_Occurred())
        return -1;
    if (fd < 0 || fd > INT_MAX) { /* of a closed connection, for instance */
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return (int)fd;
}

/* Whether a call that was interrupted is to be made again; else there is an exception. */
static int
is_interrupted(void)
{
    if (errno == EINTR)
        return PyErr_CheckSignals() == 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return 0;
}

/* --- bytes ------------------------------------------------------------------------------------------ */

static PyObject *
received(const char *name, int flags, PyObject *const *arguments, Py_ssize_t count)
{
    if (!is_argument_count(name, count, 2))
        return NULL;
    int fd = descriptor(arguments[0]);
    if (fd < 0)
        return NULL;
    Py_ssize_t most = PyLong_AsSsize_t(arguments[1]);
    if (most < 0 || most > MANY_BYTES) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "so many bytes are not read at once");
        return NULL;
    }
    for (;;) {
        ssize_t size = flags ? recv(fd, scratch, (size_t)most, flags) : read(fd, scratch, (size_t)most);
        if (size >= 0)
            return PyBytes_FromStringAndSize(scratch, size);
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            Py_RETURN_NONE;
        if (!is_interrupted())
            return NULL;
    }
}

static PyObject *
receive(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    return received("receive", 0, arguments, count);
}

static PyObject *
peek(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    return received("peek", MSG_PEEK, arguments, count);
}

static PyObject *
send_bytes(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (!is_argument_count("send", count, 2))
        return NULL;
    int fd = descriptor(arguments[0]);
    if (fd < 0)
        return NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(arguments[1], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *result = NULL;
    for (;;) {
        ssize_t size = write(fd, view.buf, (size_t)view.len);
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            size = 0;
        if (size >= 0) {
            result = PyLong_FromSsize_t(size);
            break;
        }
        if (!is_interrupted())
            break;
    }
    PyBuffer_Release(&view);
    return result;
}

static PyObject *
send_joined(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (!is_argument_count("send_joined", count, 4))
        return NULL;
    int fd = descriptor(arguments[0]);
    if (fd < 0)
        return NULL;
    PyObject *parts = arguments[1], *data = arguments[2];
    if (!PyTuple_CheckExact(parts) || !PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "a tuple of bytes, and bytes, are sent");
        return NULL;
    }
    Py_ssize_t start = PyLong_AsSsize_t(arguments[3]), length = PyBytes_GET_SIZE(data), size = 0;
    if (start < 0 || start > length) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "there is nothing to begin with");
        return NULL;
    }
    for (Py_ssize_t at = 0; at <= PyTuple_GET_SIZE(parts); at++) {
        int is_last = at == PyTuple_GET_SIZE(parts);
        PyObject *part = is_last ? data : PyTuple_GET_ITEM(parts, at);
        if (!PyBytes_CheckExact(part)) {
            PyErr_SetString(PyExc_TypeError, "a tuple of bytes is sent");
            return NULL;
        }
        Py_ssize_t from = is_last ? start : 0, more = PyBytes_GET_SIZE(part) - from;
        if (more > MANY_BYTES - size) {
            PyErr_SetString(PyExc_ValueError, "so many bytes are not joined");
            return NULL;
        }
        memcpy(scratch + size, PyBytes_AS_STRING(part) + from, (size_t)more);
        size += more;
    }
    for (;;) {
        ssize_t sent = write(fd, scratch, (size_t)size);
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            sent = 0;
        if (sent >= 0)
            return PyLong_FromSsize_t(size - sent);
        if (!is_interrupted()) /* a handler of a signal runs Python; it does not read or write here */
            return NULL;
    }
}

/* --- events ----------------------------------------------------------------------------------------- */

/* `self` is (descriptor, most). */
static PyObject *
wait_now(PyObject *self, PyObject *Py_UNUSED(nothing))
{
    static struct epoll_event events[MOST_EVENTS];
    int epoll = (int)PyLong_AsLong(PyTuple_GET_ITEM(self, 0)), most = (int)PyLong_AsLong(PyTuple_GET_ITEM(self, 1));
    int found;
    while ((found = epoll_wait(epoll, events, most, 0)) < 0)
        if (!is_interrupted())
            return NULL;
    PyObject *list = PyList_New(found);
    for (int at = 0; list != NULL && at < found; at++) {
        PyObject *pair = PyTuple_New(2), *fd = PyLong_FromLong(events[at].data.fd),
                 *seen = PyLong_FromUnsignedLong(events[at].events);
        if (pair == NULL || fd == NULL || seen == NULL) {
            Py_XDECREF(pair);
            Py_XDECREF(fd);
            Py_XDECREF(seen);
            Py_CLEAR(list);
            break;
        }
        PyTuple_SET_ITEM(pair, 0, fd);
        PyTuple_SET_ITEM(pair, 1, seen);
        PyList_SET_ITEM(list, at, pair);
    }
    return list;
}

static PyMethodDef wait_method = {"wait", wait_now, METH_NOARGS, NULL};

static PyObject *
waiting(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (!is_argument_count("waiting", count, 2))
        return NULL;
    int epoll = PyObject_AsFileDescriptor(arguments[0]);
    if (epoll < 0)
        return NULL;
    long most = PyLong_AsLong(arguments[1]);
    if (most < 1 || most > MOST_EVENTS) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "so many events are not waited for");
        return NULL;
    }
    PyObject *bound = Py_BuildValue("(il)", epoll, most);
    if (bound == NULL)
        return NULL;
    PyObject *made = PyCFunction_New(&wait_method, bound);
    Py_DECREF(bound);
    return made;
}

/* --- connections ------------------------------------------------------------------------------------ */

typedef union {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
} Address;

/* As socket.accept() has it. */
static PyObject *
address_of(const Address *address, socklen_t length)
{
    char text[INET6_ADDRSTRLEN];
    if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->ip4.sin_addr, text, sizeof text);
        return Py_BuildValue("(si)", text, (int)ntohs(address->ip4.sin_port));
    }
    if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->ip6.sin6_addr, text, sizeof text);
        return Py_BuildValue("(siII)", text, (int)ntohs(address->ip6.sin6_port), (unsigned)ntohl(address->ip6.sin6_flowinfo),
                             (unsigned)address->ip6.sin6_scope_id);
    }
    if (length <= offsetof(struct sockaddr_un, sun_path))
        return PyUnicode_FromString("");
    size_t size = length - offsetof(struct sockaddr_un, sun_path);
    if (address->local.sun_path[0] == '\0') /* of Linux's abstract names */
        return PyBytes_FromStringAndSize(address->local.sun_path, (Py_ssize_t)size);
    return PyUnicode_DecodeFSDefaultAndSize(address->local.sun_path, (Py_ssize_t)strnlen(address->local.sun_path, size));
}

/* `self` is the listening descriptor. */
static PyObject *
accept_now(PyObject *self, PyObject *Py_UNUSED(nothing))
{
    int listening = (int)PyLong_AsLong(self), fd;
    Address address;
    socklen_t length;
    do {
        length = sizeof address;
        fd = accept4(listening, &address.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && is_interrupted());
    if (fd < 0)
        return NULL;
    PyObject *peer = address_of(&address, length);
    PyObject *pair = peer == NULL ? NULL : Py_BuildValue("(iN)", fd, peer);
    if (pair == NULL)
        close(fd);
    return pair;
}

static PyMethodDef accept_method = {"accept", accept_now, METH_NOARGS, NULL};

static PyObject *
accepting(PyObject *Py_UNUSED(module), PyObject *sock)
{
    int listening = PyObject_AsFileDescriptor(sock);
    if (listening < 0)
        return NULL;
    PyObject *bound = PyLong_FromLong(listening);
    if (bound == NULL)
        return NULL;
    PyObject *made = PyCFunction_New(&accept_method, bound);
    Py_DECREF(bound);
    return made;
}

/* The length of what is at `address` now, 0 with an exception. */
static socklen_t
address_to(Address *address, int family, PyObject *host, long port)
{
    memset(address, 0, sizeof *address);
    address->any.sa_family = (sa_family_t)family;
    if (family == AF_UNIX) {
        PyObject *path;
        if (!PyUnicode_FSConverter(host, &path))
            return 0;
        size_t size = (size_t)PyBytes_GET_SIZE(path);
        socklen_t length = 0;
        if (size >= sizeof address->local.sun_path)
            PyErr_SetString(PyExc_OSError, "AF_UNIX path too long");
        else {
            memcpy(address->local.sun_path, PyBytes_AS_STRING(path), size + 1);
            length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
        }
        Py_DECREF(path);
        return length;
    }
    const char *text = PyUnicode_AsUTF8(host);
    if (text == NULL)
        return 0;
    if (port < 0 || port > 65535) {
        PyErr_SetString(PyExc_OverflowError, "a port is 0 to 65535");
        return 0;
    }
    if (family == AF_INET && inet_pton(AF_INET, text, &address->ip4.sin_addr) == 1) {
        address->ip4.sin_port = htons((uint16_t)port);
        return sizeof address->ip4;
    }
    struct addrinfo hints = {.ai_family = AF_INET6, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;
    if (family == AF_INET6 && getaddrinfo(text, NULL, &hints, &found) == 0) { /* it may have a zone */
        address->ip6 = *(struct sockaddr_in6 *)found->ai_addr;
        address->ip6.sin6_port = htons((uint16_t)port);
        freeaddrinfo(found);
        return sizeof address->ip6;
    }
    return 0;
}

static PyObject *
connect_now(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (!is_argument_count("connect", count, 3))
        return NULL;
    long family = PyLong_AsLong(arguments[0]), port = PyLong_AsLong(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    Address address;
    socklen_t length = address_to(&address, (int)family, arguments[1], port);
    if (length == 0) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_OSError, "%R is no IP address", arguments[1]);
        return NULL;
    }
    int fd = socket((int)family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (connect(fd, &address.any, length) < 0 && errno != EINPROGRESS && errno != EINTR) { /* EINTR: it goes on (POSIX) */
        PyErr_SetFromErrno(PyExc_OSError);
        close(fd);
        return NULL;
    }
    PyObject *pair = Py_BuildValue("(iO)", fd, Py_None);
    if (pair == NULL)
        close(fd);
    return pair;
}

static PyObject *
error_of(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (!is_argument_count("error_of", count, 2))
        return NULL;
    int fd = descriptor(arguments[0]), error = 0;
    socklen_t length = sizeof error;
    if (fd < 0)
        return NULL;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyLong_FromLong(error);
}

static PyObject *
no_delay(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    static const int on = 1;
    if (!is_argument_count("no_delay", count, 2))
        return NULL;
    int fd = descriptor(arguments[0]);
    if (fd < 0)
        return NULL;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *
end(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (!is_argument_count("end", count, 2))
        return NULL;
    int fd = descriptor(arguments[0]);
    if (fd < 0)
        return NULL;
    if (shutdown(fd, SHUT_WR) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *
close_now(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (!is_argument_count("close", count, 2))
        return NULL;
    if (arguments[1] != Py_None) { /* its object would close the number again */
        PyObject *closed = PyObject_CallMethod(arguments[1], "close", NULL);
        if (closed == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_OSError))
                return NULL;
            PyErr_Clear();
        }
        Py_XDECREF(closed);
        Py_RETURN_NONE;
    }
    long fd = PyLong_AsLong(arguments[0]);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (fd >= 0 && fd <= INT_MAX)
        close((int)fd);
    Py_RETURN_NONE;
}

/* --- the module ------------------------------------------------------------------------------------- */

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL

static PyMethodDef methods[] = {
    {"accepting", accepting, METH_O, NULL},
    {"close", FAST(close_now), NULL},
    {"connect", FAST(connect_now), NULL},
    {"end", FAST(end), NULL},
    {"error_of", FAST(error_of), NULL},
    {"no_delay", FAST(no_delay), NULL},
    {"peek", FAST(peek), NULL},
    {"receive", FAST(receive), NULL},
    {"send", FAST(send_bytes), NULL},
    {"send_joined", FAST(send_joined), NULL},
    {"waiting", FAST(waiting), NULL},
    {NULL, NULL, 0, NULL},
};

static int
module_exec(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "FEW_BYTES", FEW_BYTES) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "MANY_BYTES", MANY_BYTES);
}

/* One buffer for all: an interpreter with a lock of its own would write into it while another reads. */
static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "native_calls",
    .m_doc = "System calls on sockets that never block; pure_calls.py says what they do.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit_native_calls(void)
{
    return PyModuleDef_Init(&module);
}
