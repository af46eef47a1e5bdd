"""The schemas of what orders say: bodies and query parameters."""

from __future__ import annotations

from typing import Any

FLAG: dict[str, Any] = {"type": "boolean", "default": False}
FLAG_IN_QUERY: dict[str, Any] = {"type": "string", "enum": ["true", "false", "1", "0", ""]}
DRY_RUN: dict[str, Any] = {
    "dry_run": {
        "description": "true: say what would change (`preview`, in sentences), and change nothing.",
        "schema": FLAG_IN_QUERY,
    }
}
FOLLOW: dict[str, Any] = {"description": "false: what is remembered as JSON, and no stream.", "schema": FLAG_IN_QUERY}
SINCE: dict[str, Any] = {
    "description": "The number of an event: what came after it comes first.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**15},
}
GENERATION: dict[str, Any] = {"description": "The number of an earlier one.", "schema": {"type": "integer", "minimum": 1}}
METRIC: dict[str, Any] = {
    "description": "Which number; without it the one that the autoscaler goes by.",
    "schema": {"type": "string", "enum": ["value", "recommended", "desired", "current", "ready"]},
}

RELOAD_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "rollback": {
            "description": "Instead of reading the file, go back: true, to the last configuration that differs from the one "
            "that is served; a number, to that generation.",
            "anyOf": [FLAG, {"type": "integer", "minimum": 1}],
        },
        "discard_changes": FLAG | {"description": "Forget what was changed at run time."},
    },
    "additionalProperties": False,
}
_NAME: dict[str, Any] = {"type": "string", "minLength": 1}
_URL: dict[str, Any] = {"description": "In place of `address`, for older scripts: the same with http:// before it."}
_VALUES: dict[str, Any] = {
    "weight": {"type": "integer", "minimum": 0},
    "max_connections": {"type": "integer", "minimum": 0},
    "backup": {"type": "boolean"},
    "protocol": {"type": "string", "enum": ["http1", "h2", "h2c", "auto"]},
    "region": {"type": "string"},
    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
}
ADD_BODY: dict[str, Any] = {
    "type": "object",
    "description": "A backend as in a configuration file, and the pool that it belongs to. Without a name it is called as its "
    "address.",
    "properties": {
        "pool": {"type": "string"},
        "name": _NAME,
        "address": {"type": "string", "minLength": 1},
        "url": {"type": "string", "minLength": 1} | _URL,
    }
    | _VALUES,
    "oneOf": [{"required": ["address"]}, {"required": ["url"]}],
}
NAMED_BODY: dict[str, Any] = {
    "type": "object",
    "description": "The backend, by one of these; `pool` where several have it.",
    "properties": {
        "name": _NAME,
        "address": {"type": "string", "minLength": 1},
        "url": {"type": "string", "minLength": 1} | _URL,
        "pool": {"type": "string"},
    },
    "additionalProperties": False,
}
NAMED_QUERY: dict[str, Any] = {
    "name": {"description": "The backend by its name, or pool/name.", "schema": _NAME},
    "address": {"description": "The backend by its address.", "schema": _NAME},
    "url": {"description": "The same with http:// before it.", "schema": _NAME},
    "pool": {"description": "Its pool, where several have it.", "schema": {"type": "string"}},
}
CHANGE_BODY: dict[str, Any] = {
    "type": "object",
    "description": "A new state, new values of a backend's keys as a configuration file has them, or both.",
    "properties": {"state": {"enum": ["drain", "maintenance", "enable"]}, "address": {"type": "string"}} | _VALUES,
    "minProperties": 1,
}
_ADDRESS: dict[str, Any] = {"type": "string", "minLength": 1}
_ADDRESSES: dict[str, Any] = {"anyOf": [_ADDRESS, {"type": "array", "items": _ADDRESS}]}
BLOCKLIST_BODY: dict[str, Any] = {
    "type": "object",
    "description": "Addresses and networks.",
    "properties": {
        "add": _ADDRESSES | {"description": "Blocked from now on; what is blocked already gets a new end."},
        "for": {"type": "string", "description": "How long, like 10m. Without it: until they are removed.", "minLength": 1},
        "remove": _ADDRESSES | {"description": "Not blocked at run time any more."},
    },
    "additionalProperties": False,
    "anyOf": [{"required": ["add"]}, {"required": ["remove"]}],
}
SWITCH_BODY: dict[str, Any] = {
    "type": "object",
    "description": "Which side, if not the other one.",
    "properties": {
        "to": {"enum": ["blue", "green"]},
        "listener": {"type": "string", "description": "The listener, where several have a route of that name."},
        "force": FLAG | {"description": "Switch although no backend of that side's pool is ready."},
    },
    "additionalProperties": False,
}
