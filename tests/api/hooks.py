"""Sends a part of the generated requests to what is there: a name made up finds nothing."""

import schemathesis


def some(value):
    """Whether this one is to be changed: one in three, always the same ones."""
    return sum(repr(value).encode()) % 3 == 0


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if path_parameters and some(path_parameters):
        for key in path_parameters:
            path_parameters[key] = "known"
    return path_parameters


@schemathesis.hook
def map_query(context, query):
    if query:
        # A log that is followed never ends.
        query.pop("follow", None)
        if "name" in query and some(query):
            query["name"] = "known"
        if "namespace" in query and some(query):
            query["namespace"] = "openfaas-fn"
        if "function" in query and some(query):
            query["function"] = "known"
    return query


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and some(body):
        for key in ("service", "functionName", "name"):
            if key in body:
                body[key] = "known"
        if "namespace" in body:
            body["namespace"] = "openfaas-fn"
    return body
