"""Documents made to be expensive: each is at most 64 KiB and names fields of the product's schema.

`BOMBS` must be refused; `HEAVY` are within every limit and as expensive as possible. Each has a name and what a request
would send: the document and its variables.
"""

from typing import NamedTuple

from graphql import get_introspection_query

KIB_64 = 65_536


class Hostile(NamedTuple):
    query: str
    variables: dict[str, object] = {}  # noqa: RUF012  (never changed)
    operation: str | None = None


def repeat(part: str, limit: int = KIB_64, around: str = "{}{}") -> str:
    """The part as often as fits into a document of `limit` characters."""
    head, tail = around.split("{}{}")
    return head + part * ((limit - len(around)) // len(part)) + tail


def numbered(template: str, count: int) -> str:
    return " ".join(template.replace("#", str(n)) for n in range(count))


def doubling(levels: int, leaf: str) -> str:
    """Fragments that each spread the next one twice: 2 to the power of `levels` leaves."""
    chain = " ".join(f"fragment F{n} on Client{{...F{n + 1} ...F{n + 1}}}" for n in range(levels))
    return f"{{client(clientId:1){{...F0}}}} {chain} fragment F{levels} on Client{{{leaf}}}"


def nested(depth: int, before: str, inside: str, after: str) -> str:
    return before * depth + inside + after * depth


def deep_list(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


INTROSPECTION = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
)

BOMBS: dict[str, Hostile] = {
    # fragments
    "fragments doubling, 25 levels": Hostile(doubling(25, "name")),
    "fragments doubling, 28 levels of aliases": Hostile(doubling(28, "a:name b:name")),
    "fragments doubling, hundreds of levels": Hostile(doubling(500, "name")),
    "fragments tripling inside fields": Hostile(
        "{client(clientId:1){...F0}} "
        + " ".join(
            f"fragment F{n} on Client{{currentSecret{{id}} ...F{n + 1} ...F{n + 1} ...F{n + 1}}}" for n in range(20)
        )
        + " fragment F20 on Client{name}"
    ),
    "a fragment that spreads itself": Hostile("{client(clientId:1){...F}} fragment F on Client{name ...F}"),
    "fragments in a ring": Hostile(
        "{client(clientId:1){...F0}} " + " ".join(f"fragment F{n} on Client{{...F{(n + 1) % 28}}}" for n in range(28))
    ),
    "fragments, all spreading all": Hostile(
        "{client(clientId:1){...F0}} "
        + " ".join(
            f"fragment F{n} on Client{{{' '.join(f'...F{m}' for m in range(n + 1, 12))} name}}" for n in range(12)
        )
    ),
    "thousands of unused fragments": Hostile("{viewer{name}} " + numbered("fragment F# on Client{name}", 2000)),
    "thousands of spreads of no fragment": Hostile(repeat("...F ", around="{client(clientId:1){{}{}}}")),
    "thousands of spreads of one fragment": Hostile(
        repeat("...F ", around="{client(clientId:1){{}{}}} fragment F on Client{name}")
    ),
    "hundreds of fragments of one name": Hostile("{client(clientId:1){...F}} " + "fragment F on Client{name} " * 28),
    "fragments whose fields conflict": Hostile(
        "{client(clientId:1){...A ...B}} fragment A on Client{"
        + numbered("x:name", 14)
        + "} fragment B on Client{"
        + numbered("x:description", 14)
        + "}"
    ),
    "inline fragments inside each other": Hostile(
        "{client(clientId:1)" + nested(3000, "{... on Client", "{name}", "}") + "}"
    ),
    "inline fragments side by side": Hostile(repeat("...{name}", around="{viewer{{}{}}}")),
    # aliases
    "thousands of aliases of a leaf": Hostile("{viewer{" + numbered("a#:name", 6000) + "}}"),
    "hundreds of aliases of a look-up": Hostile("{" + numbered("a#:client(clientId:1){id}", 31) + "}"),
    "aliases through a fragment": Hostile(
        "{" + numbered("c#:client(clientId:1){...F}", 10) + "} fragment F on Client{" + numbered("a#:name", 20) + "}"
    ),
    "hundreds of resets in one mutation": Hostile(
        "mutation{" + numbered("r#:resetSecret(clientId:1,hoursToLive:1){newSecret}", 1000) + "}"
    ),
    "six resets in one mutation": Hostile(
        "mutation{" + numbered("r#:resetSecret(clientId:1,hoursToLive:1){newSecret}", 6) + "}"
    ),
    "six resets through fragments": Hostile(
        "mutation{...A ...B} fragment A on Mutation{"
        + numbered("a#:resetSecret(clientId:1,hoursToLive:1){newSecret}", 3)
        + "} fragment B on Mutation{"
        + numbered("b#:resetSecret(clientId:1,hoursToLive:1){newSecret}", 3)
        + "}"
    ),
    # directives
    "thousands of directives on one field": Hostile(repeat("@include(if:true)", around="{viewer{name{}{}}}")),
    "directives on many fields": Hostile("{viewer{" + "name@skip(if:true) " * 60 + "}}"),
    "directives of no such name": Hostile(repeat("@d ", around="{viewer{name {}{}}}")),
    "directives on a query": Hostile("query " + "@a " * 200 + "{viewer{name}}"),
    # sizes
    "a page of pages": Hostile("{clients(first:100){nodes{secrets(first:100){nodes{id}}}}}"),
    "a page of pages by variables": Hostile(
        "query($n:Int,$m:Int){clients(first:$n){nodes{secrets(first:$m){nodes{id}}}}}", {"n": 100, "m": 100}
    ),
    "a page of pages by the defaults of variables": Hostile(
        "query($n:Int=100){clients(first:$n){nodes{secrets(first:$n){nodes{id}}}}}"
    ),
    "a page of pages by `last`": Hostile("{clients(last:1000){edges{node{secrets(first:100){edges{node{id}}}}}}}"),
    "one page of a billion": Hostile("{clients(first:1000000000){nodes{id}}}"),
    "pages under aliases": Hostile("{" + numbered("p#:clients(first:100){nodes{id name}}", 20) + "}"),
    "pages in a fragment": Hostile(
        "{clients(first:100){...P}} fragment P on ClientConnection{nodes{...C} edges{node{...C}}} "
        "fragment C on Client{secrets(first:20){nodes{id hint}}}"
    ),
    # introspection
    "introspection under aliases": Hostile(
        "{"
        + numbered("s#:__schema{types{fields{args{name type{name}} type{name ofType{name}}}}}", 15)
        + " viewer{name}}"
    ),
    "introspection of types in types": Hostile(
        "{__schema{types" + nested(6, "{fields{type", "{name}", "}}") + "}}".replace("}}", "}") + "}"
    ),
    "introspection in a ring of possible types": Hostile(
        "{__schema{types{possibleTypes{interfaces{possibleTypes{interfaces{name}}}}}}}"
    ),
    "the whole introspection twice": Hostile(
        INTROSPECTION.replace("__schema {", "a:__schema { ...S } __schema {", 1)
        + " fragment S on __Schema{types{...FullType} directives{args{...InputValue}}}"
    ),
    "introspection of one type, many times": Hostile(
        "{" + numbered('t#:__type(name:"Client"){fields{args{name type{name}}}}', 19) + "}"
    ),
    # nesting
    "fields nested thousands deep": Hostile(nested(8000, "{viewer", "{name}", "}")),
    "fields nested 16 deep": Hostile("{client(clientId:1)" + nested(16, "{currentSecret", "{id}", "}") + "}"),
    "lists nested thousands deep": Hostile("{client(clientId:" + nested(30_000, "[", "1", "]") + "){id}}"),
    "lists nested 38 deep": Hostile("{client(clientId:" + nested(38, "[", "1", "]") + "){id}}"),
    "objects nested thousands deep": Hostile("{client(clientId:" + nested(10_000, "{a:", "1", "}") + "){id}}"),
    "objects nested 38 deep": Hostile("{client(clientId:" + nested(38, "{a:", "1", "}") + "){id}}"),
    "brackets that never close": Hostile("{" * KIB_64),
    "types nested thousands deep": Hostile("query($a:" + nested(30_000, "[", "Int", "]") + "){viewer{name}}"),
    # literals
    "a list of thousands": Hostile(repeat("1 ", around='mutation{createClient(name:"a",features:[{}{}]){id}}')),
    "a list of hundreds of wrong items": Hostile('mutation{createClient(name:"a",features:[' + "1 " * 380 + "]){id}}"),
    "an object of hundreds of fields": Hostile("{client(clientId:{" + numbered("a#:1", 120) + "}){id}}"),
    "an object of one field, hundreds of times": Hostile("{client(clientId:{" + "a:1 " * 120 + "}){id}}"),
    "an endless string": Hostile('{client(clientId:"' + "x" * 65_000 + '"){id}}'),
    "a string of escapes": Hostile('{client(clientId:"' + "\\u0041" * 10_000 + '"){id}}'),
    "a string that does not end": Hostile('{client(clientId:"' + "x" * 65_000),
    "a block string of lines": Hostile('{client(clientId:"""' + "x\n" * 32_000 + '"""){id}}'),
    "a block string that does not end": Hostile('{client(clientId:"""' + 'x"" ' * 16_000),
    "descriptions": Hostile('"""' + "x\n" * 5_000 + '""" query{nothing}'),
    "an endless number": Hostile("{client(clientId:" + "1" * 65_000 + "){id}}"),
    "a huge exponent": Hostile("{clients(first:1e999999999){nodes{id}}}"),
    "an endless name": Hostile("{" + "a" * 65_000 + "}"),
    "an endless comment and an error": Hostile("{viewer{name}}#" + "x" * 65_000 + "\n}"),
    "thousands of comments and an error": Hostile("#\n" * 32_000 + "}"),
    "blanks and an error": Hostile(" \n\r\t," * 13_000 + "}"),
    # operations and variables
    "thousands of operations": Hostile(numbered("query Q#{viewer{name}}", 2500)),
    "operations that share fragments": Hostile(
        numbered("query Q#{client(clientId:1){...F0}}", 8)
        + " ".join(f"fragment F{n} on Client{{...F{n + 1}}}" for n in range(28))
        + "fragment F28 on Client{nothing}"
    ),
    "thousands of variables": Hostile("query(" + numbered("$v#:Int", 6000) + "){viewer{name}}"),
    "hundreds of unused variables": Hostile("query(" + numbered("$v#:Int", 90) + "){viewer{name}}"),
    "hundreds of undefined variables": Hostile(
        'mutation{createClient(name:"a",features:[' + numbered("$v#", 180) + "]){id}}"
    ),
    "a variable of thousands of values": Hostile(
        'mutation($f:[String!]){createClient(name:"a",features:$f){id}}', {"f": ["x"] * 16_000}
    ),
    "a variable nested hundreds deep": Hostile("query($c:ID!){client(clientId:$c){id}}", {"c": deep_list(500)}),
    "a variable of a thousand wrong values": Hostile(
        'mutation($f:[String!]){createClient(name:"a",features:$f){id}}', {"f": [1] * 990}
    ),
    # unknown and conflicting fields
    "thousands of unknown fields": Hostile("{viewer{" + numbered("nam#", 8000) + "}}"),
    "hundreds of unknown fields": Hostile("{viewer{" + numbered("nam#", 390) + "}}"),
    "hundreds of unknown arguments": Hostile("{client(" + numbered("clientI#:1", 120) + "){id}}"),
    "hundreds of fields of one name": Hostile("{viewer{" + "name " * 390 + "}}"),
    "hundreds of objects of one name": Hostile("{" + "viewer{name} " * 10 + "client(clientId:1){" + "id " * 300 + "}}"),
    "fields that conflict in pairs": Hostile("{viewer{" + "name:canCreateClient name " * 15 + "}}"),
    "conflicts under conflicts": Hostile(
        "{" + "client(clientId:1){currentSecret{id hint hint:id} name name:id} " * 14 + "}"
    ),
    # not even documents
    "definitions of types": Hostile(repeat("type T{a:Int}")),
    "marks": Hostile("!$&()" * 13_000),
    "unknown characters": Hostile("{viewer{name}}" + "\u0001" * 60_000),
    "emoji": Hostile("\U0001f4a3" * 16_000),
    "nothing but blanks": Hostile(" " * 65_000),
}

HEAVY: dict[str, Hostile] = {
    "introspection": Hostile(INTROSPECTION),
    "a page of a hundred, all fields": Hostile(
        "query($n:Int){clients(first:$n){totalCount pageInfo{hasNextPage endCursor} nodes{id clientId name description "
        "features allowList enabled createdAt generation inRollover viewerCanResetSecret "
        "currentSecret{id hint state createdAt replacedAt expiresAt lastUsedAt useCount} "
        "oldSecret{id hint state createdAt replacedAt expiresAt lastUsedAt useCount}}}}",
        {"n": 100},
    ),
    "pages up to the cost": Hostile(
        "{"
        + numbered("p#:clients(first:100){nodes{id clientId name description enabled createdAt generation}}", 6)
        + "}"
    ),
    "secrets up to the cost": Hostile(
        "{clients(first:40){nodes{secrets(first:15){nodes{id hint state createdAt useCount lastUsedAt}}}}}"
    ),
    "aliases up to the limit": Hostile("{viewer{" + numbered("a#:name", 30) + "}}"),
    "a list up to the tokens": Hostile('mutation{createClient(name:"a",features:[' + '"x" ' * 380 + "]){id}}"),
    "operations up to the limit": Hostile(
        "mutation M{resetSecret(clientId:1,hoursToLive:1){newSecret}}"
        "subscription S{ticks}"
        "query Q($a:ID!){client(clientId:$a){id}}"
        + numbered("query Q#{clients(first:1){nodes{id name currentSecret{id hint}} totalCount}}", 5),
        operation="Q1",
    ),
    "fragments up to the limit": Hostile(
        "{client(clientId:1){" + numbered("...F#", 15) + "}}" + numbered("fragment F# on Client{id name enabled}", 15)
    ),
    "a chain of fragments": Hostile(
        "{client(clientId:1){...F0}}"
        + " ".join(f"fragment F{n} on Client{{id name ...F{n + 1}}}" for n in range(24))
        + "fragment F24 on Client{id}"
    ),
    "literals up to the limit": Hostile('{client(clientId:"' + "\\u0041" * 2_700 + '"){id}}'),
    "a comment up to 16 KiB": Hostile("{viewer{name}}" + "#" + "x" * 16_000),
    "comments up to the limit": Hostile("{viewer{name}}" + "#\n" * 400),
    "variables up to the limit": Hostile(
        'mutation($f:[String!]){createClient(name:"a",features:$f){id}}', {"f": ["x" * 50] * 990}
    ),
    "inline fragments": Hostile('{node(id:"a"){' + "...on Client{id name} ...on ClientSecret{id hint} " * 14 + "}}"),
    "directives up to the limit": Hostile("{viewer{name " + numbered("a#:name@include(if:true)", 29) + "}}"),
}
