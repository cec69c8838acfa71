# ruff: noqa: E501  (one case is one line)
"""Every function against results Azure is known to give.

Sources: the examples of Azure's documentation of template functions; for `uniqueString` the published results of
JasonWhall/go-azure-uniquestring (`hello world`), of the answer "Azure ARM uniqueString function mimic" (`tyeth`, computed
by the libraries of the Azure Stack development kit) and of a public shell re-implementation checked against Bicep; for
`dateTimeAdd` Azure/bicep issues 8188, 11804 and 12853; for text comparison, `items`, `indexOf` and `sort`
Azure/bicep's EvaluationTests.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.functions import FUNCTIONS
from tests.template.cloud import RG, SUBSCRIPTION, Live, result

SUB = f"/subscriptions/{SUBSCRIPTION}"

CASES: list[tuple[str, Any]] = [
    # array
    ("[array('efgh')]", ["efgh"]),
    ("[array(1)]", [1]),
    ("[array(createArray(1))]", [1]),
    ("[concat(createArray('1-1', '1-2'), createArray('2-1'))]", ["1-1", "1-2", "2-1"]),
    ("[contains('OneTwoThree', 'e')]", True),
    ("[contains('OneTwoThree', 'z')]", False),
    ("[contains('FOOBAR', 'foo')]", False),
    ("[contains(createObject('one', 'a'), 'ONE')]", True),
    ("[contains(createObject('one', 'a'), 'four')]", False),
    ("[contains(createArray('one', 'two'), 'two')]", True),
    ("[contains(createArray(1, 2), '1')]", False),
    ("[createArray('a', 'b', 'c')]", ["a", "b", "c"]),
    ("[createArray()]", []),
    ("[empty(createArray())]", True),
    ("[empty(createObject())]", True),
    ("[empty('')]", True),
    ("[empty(null())]", True),
    ("[empty('a')]", False),
    ("[first(createArray('one', 'two'))]", "one"),
    ("[first('One Two Three')]", "O"),
    ("[first(createArray())]", None),
    ("[flatten(createArray(createArray(0, 1), createArray(2), createArray()))]", [0, 1, 2]),
    ("[indexOf('test', 't')]", 0),
    ("[indexOf('abcdef', 'CD')]", 2),
    ("[indexOf('abcdef', 'z')]", -1),
    ("[indexOf(createArray('FOO', 'BAR'), 'bar')]", -1),
    ("[indexOf(createArray('FOO', 'BAR'), 'BAR')]", 1),
    ("[intersection(createArray('one', 'two', 'three'), createArray('two', 'three'))]", ["two", "three"]),
    (
        "[intersection(json('{\"one\":\"a\",\"two\":\"b\",\"three\":\"c\"}'), json('{\"one\":\"a\",\"two\":\"z\",\"three\":\"c\"}'))]",
        {"one": "a", "three": "c"},
    ),
    ("[last(createArray('one', 'three'))]", "three"),
    ("[last('One Two Three')]", "e"),
    ("[lastIndexOf('test', 't')]", 3),
    ("[lastIndexOf('abcdef', 'AB')]", 0),
    ("[lastIndexOf('abcdef', 'z')]", -1),
    ("[length(createArray('one', 'two', 'three'))]", 3),
    ("[length('One Two Three')]", 13),
    ("[length(createObject('a', 1, 'b', 2))]", 2),
    ("[max(createArray(0, 3, 2, 5, 4))]", 5),
    ("[max(0, 3, 2, 5, 4)]", 5),
    ("[min(createArray(0, 3, 2, 5, 4))]", 0),
    ("[min(0, 3, 2, 5, 4)]", 0),
    ("[range(5, 3)]", [5, 6, 7]),
    ("[skip(createArray('one', 'two', 'three'), 2)]", ["three"]),
    ("[skip('one two three', 4)]", "two three"),
    ("[skip('abc', -1)]", "abc"),
    ("[take(createArray('one', 'two', 'three'), 2)]", ["one", "two"]),
    ("[take('one two three', 2)]", "on"),
    ("[take('abc', 10)]", "abc"),
    ("[tryGet(createObject('key', createObject('nested', 'v')), 'KEY', 'nested')]", "v"),
    ("[tryGet(createObject(), 'key', 'nested')]", None),
    ("[tryGet(createArray('a'), 1)]", None),
    ("[tryGet(null(), 'x')]", None),
    ("[union(createArray('one', 'two', 'three'), createArray('three', 'four'))]", ["one", "two", "three", "four"]),
    (
        "[union(json('{\"one\":\"a\",\"two\":\"b\",\"three\":\"c1\"}'), json('{\"three\":\"c2\",\"four\":\"d\"}'))]",
        {"one": "a", "two": "b", "three": "c2", "four": "d"},
    ),
    (
        "[union(json('{\"p\":{\"a\":1,\"t\":1},\"l\":[1,2]}'), json('{\"p\":{\"t\":2,\"f\":3},\"l\":[3,4]}'))]",
        {"p": {"a": 1, "t": 2, "f": 3}, "l": [3, 4]},
    ),
    # cidr
    (
        "[parseCidr('10.144.0.0/20')]",
        {
            "network": "10.144.0.0",
            "netmask": "255.255.240.0",
            "broadcast": "10.144.15.255",
            "firstUsable": "10.144.0.1",
            "lastUsable": "10.144.15.254",
            "cidr": 20,
        },
    ),
    (
        "[parseCidr('fdad:3236:5555::/48')]",
        {
            "network": "fdad:3236:5555::",
            "netmask": "ffff:ffff:ffff::",
            "firstUsable": "fdad:3236:5555::",
            "lastUsable": "fdad:3236:5555:ffff:ffff:ffff:ffff:ffff",
            "cidr": 48,
        },
    ),
    ("[cidrSubnet('10.144.0.0/20', 24, 4)]", "10.144.4.0/24"),
    ("[cidrSubnet('fdad:3236:5555::/48', 52, 3)]", "fdad:3236:5555:3000::/52"),
    ("[cidrHost('10.144.3.0/24', 0)]", "10.144.3.1"),
    ("[cidrHost('fdad:3236:5555:3000::/52', 4)]", "fdad:3236:5555:3000::5"),
    # comparison
    ("[coalesce(null(), null(), 'x')]", "x"),
    ("[coalesce(null())]", None),
    ("[coalesce('a', json('not json'))]", "a"),
    ("[equals(1, 1)]", True),
    ("[equals(1, float('1.0'))]", True),
    ("[equals('a', 'A')]", False),
    ("[equals(createObject('a', 1, 'b', 2), createObject('b', 2, 'a', 1))]", True),
    ("[equals(true(), 1)]", False),
    ("[equals(1, '1')]", False),
    ("[greater(1, 2)]", False),
    ("[greater('A', 'a')]", True),
    ("[greaterOrEquals('A', 'a')]", True),
    ("[less('A', 'a')]", False),
    ("[less('ghi', 'abc')]", False),
    ("[lessOrEquals(1, 1)]", True),
    # date
    ("[dateTimeAdd('2023-09-11 14:42:56Z', 'P2Y')]", "2025-09-10T14:42:56Z"),
    ("[dateTimeAdd('2022-09-01T00:00:00Z', 'P10Y')]", "2032-08-29T00:00:00Z"),
    ("[dateTimeAdd('2024-01-01T00:00:00Z', 'P1Y')]", "2024-12-31T00:00:00Z"),
    ("[dateTimeAdd('2020-04-07 14:53:14Z', '-P9D')]", "2020-03-29T14:53:14Z"),
    ("[dateTimeAdd('2020-04-07 14:53:14Z', 'PT1H', 'u')]", "2020-04-07 15:53:14Z"),
    ("[dateTimeAdd('20200407T145314Z', 'PT1H30M', 'HH:mm')]", "16:23"),
    ("[dateTimeFromEpoch(1683040573)]", "2023-05-02T15:16:13Z"),
    ("[dateTimeToEpoch('2023-05-02T15:16:13Z')]", 1683040573),
    ("[dateTimeToEpoch('2023-05-02T17:16:13+02:00')]", 1683040573),
    # deployment
    ("[deployment().name]", "d1"),
    ("[deployer().objectId]", "o1"),
    ("[environment().suffixes.storage]", "core.local.lazur.internal"),
    # lambda
    ("[filter(range(0, 10), lambda('i', equals(0, mod(lambdaVariables('i'), 2))))]", [0, 2, 4, 6, 8]),
    ("[map(createArray('Evie', 'Kira'), lambda('d', format('Hello {0}!', lambdaVariables('d'))))]", ["Hello Evie!", "Hello Kira!"]),
    ("[map(createArray('a', 'b'), lambda('x', 'i', lambdaVariables('i')))]", [0, 1]),
    ("[mapValues(createObject('a', 1), lambda('v', add(lambdaVariables('v'), 1)))]", {"a": 2}),
    ("[reduce(createArray(5, 3, 2, 8), 1, lambda('c', 'n', add(lambdaVariables('c'), lambdaVariables('n'))))]", 19),
    ("[reduce(createArray(), 0, lambda('c', 'n', lambdaVariables('c')))]", 0),
    ("[sort(createArray(8, 3, 10, -13, 5), lambda('x', 'y', less(lambdaVariables('x'), lambdaVariables('y'))))]", [-13, 3, 5, 8, 10]),
    ("[sort(createArray('ghi', 'abc', 'def'), lambda('x', 'y', greater(lambdaVariables('x'), lambdaVariables('y'))))]", ["ghi", "def", "abc"]),
    (
        "[toObject(createArray(createObject('n', 'Evie', 'a', 5)), lambda('e', lambdaVariables('e').n), lambda('e', lambdaVariables('e').a))]",
        {"Evie": 5},
    ),
    ("[toObject(createArray('x'), lambda('e', lambdaVariables('e')))]", {"x": "x"}),
    ("[groupBy(createArray('foo', 'bar', 'baz'), lambda('x', substring(lambdaVariables('x'), 0, 1)))]", {"f": ["foo"], "b": ["bar", "baz"]}),
    # logical
    ("[and(bool('true'), bool('false'))]", False),
    ("[or(bool('true'), bool('false'))]", True),
    ("[or(true(), json('not json'))]", True),
    ("[and(false(), json('not json'))]", False),
    ("[not(equals(1, 2))]", True),
    ("[xor(true(), false())]", True),
    ("[bool('TRUE')]", True),
    ("[bool(0)]", False),
    ("[if(equals('a', 'a'), 'yes', json('not json'))]", "yes"),
    ("[if(false(), json('not json'), 'no')]", "no"),
    # numeric
    ("[add(5, 3)]", 8),
    ("[sub(7, 3)]", 4),
    ("[mul(5, 3)]", 15),
    ("[div(8, 3)]", 2),
    ("[div(-7, 2)]", -3),
    ("[mod(7, 3)]", 1),
    ("[mod(-7, 3)]", -1),
    ("[int('4')]", 4),
    ("[int(4)]", 4),
    ("[float('1.5')]", 1.5),
    # object
    ("[createObject('i', 1, 's', 'abc', 'b', true(), 'a', createArray('x'))]", {"i": 1, "s": "abc", "b": True, "a": ["x"]}),
    ("[items(createObject('item002', 2, 'item001', 1))]", [{"key": "item001", "value": 1}, {"key": "item002", "value": 2}]),
    ("[json('{\"a\": \"b\"}')]", {"a": "b"}),
    ("[json('\"test\"')]", "test"),
    ("[json('true')]", True),
    ("[json('3')]", 3),
    ("[json('[1,2,3]')]", [1, 2, 3]),
    ("[json(null())]", {}),
    ("[json('null')]", None),
    ("[null()]", None),
    ("[objectKeys(createObject('b', 1, 'A', 2))]", ["A", "b"]),
    ("[shallowMerge(createArray(createObject('one', createObject('a', 1)), createObject('one', createObject('b', 2), 'two', 3)))]", {"one": {"b": 2}, "two": 3}),
    # resource
    ("[resourceId('Microsoft.Storage/storageAccounts', 'x')]", f"{RG}/providers/Microsoft.Storage/storageAccounts/x"),
    (
        "[resourceId('Microsoft.SQL/servers/databases', 's', 'd')]",
        f"{RG}/providers/Microsoft.SQL/servers/s/databases/d",
    ),
    ("[resourceId('rg2', 'A.B/c', 'x')]", f"{SUB}/resourceGroups/rg2/providers/A.B/c/x"),
    (
        "[resourceId('11111111-1111-1111-1111-111111111111', 'rg2', 'A.B/c', 'x')]",
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg2/providers/A.B/c/x",
    ),
    ("[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'r')]", f"{SUB}/providers/Microsoft.Authorization/roleDefinitions/r"),
    ("[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'rg9')]", f"{SUB}/resourceGroups/rg9"),
    ("[tenantResourceId('A.B/c', 'x')]", "/providers/A.B/c/x"),
    ("[managementGroupResourceId('mg', 'A.B/c', 'x')]", "/providers/Microsoft.Management/managementGroups/mg/providers/A.B/c/x"),
    (
        "[extensionResourceId(resourceGroup().id, 'Microsoft.Authorization/locks', 'l')]",
        f"{RG}/providers/Microsoft.Authorization/locks/l",
    ),
    ("[resourceGroup().location]", "local"),
    ("[subscription().subscriptionId]", SUBSCRIPTION),
    ("[tenant().tenantId]", "t1"),
    ("[providers('Microsoft.Storage', 'storageAccounts').apiVersions[0]]", "2024-01-01"),
    ("[pickZones('Microsoft.Compute', 'virtualMachines', 'local')]", ["1"]),
    ("[pickZones('Microsoft.Compute', 'virtualMachines', 'local', 2, 1)]", ["2", "3"]),
    ("[pickZones('Microsoft.Compute', 'virtualMachines', 'mars')]", []),
    ("[toLogicalZone('s', 'local', 'local-az2')]", "2"),
    ("[toPhysicalZone('s', 'local', '2')]", "local-az2"),
    ("[toLogicalZones('s', 'local', createArray('local-az2'))]", ["2"]),
    ("[toPhysicalZones('s', 'local', createArray('2'))]", ["local-az2"]),
    # string
    ("[base64('one, two, three')]", "b25lLCB0d28sIHRocmVl"),
    ("[base64ToString('b25lLCB0d28sIHRocmVl')]", "one, two, three"),
    ("[base64ToJson(base64('{\"one\": \"a\"}'))]", {"one": "a"}),
    ("[concat('prefix-', 5, true(), null())]", "prefix-5True"),
    ("[dataUri('Hello')]", "data:text/plain;charset=utf8;base64,SGVsbG8="),
    ("[dataUriToString('data:;base64,SGVsbG8sIFdvcmxkIQ==')]", "Hello, World!"),
    ("[endsWith('abcdef', 'EF')]", True),
    ("[endsWith('abcdef', 'e')]", False),
    ("[startsWith('abcdef', 'AB')]", True),
    ("[startsWith('abcdef', 'bc')]", False),
    ("[format('{0}, {1}. Formatted number: {2:N0}', 'Hello', 'User', 8175133)]", "Hello, User. Formatted number: 8,175,133"),
    ("[format('>{0}<>{1}<>{2}<', false(), 12948, json('{\"a\":\"b\",\"!c\":2}'))]", ">False<>12948<>{'a':'b','!c':2}<"),
    ("[format('{0}', createArray(true(), 2893, 'abc'))]", "[true,2893,'abc']"),
    ("[format('{{{0}}}', 1)]", "{1}"),
    ("[format('[{0,5}|{0,-5}]', 'ab')]", "[   ab|ab   ]"),
    ("[format('{0:D3}-{0:X}-{0:x4}-{0:000.0}', 42)]", "042-2A-002a-042.0"),
    ("[format('{0:#,##0.00}', 1234567)]", "1,234,567.00"),
    ("[format('{0:N2} {1:F1} {2:P0}', 1234, float('2.25'), float('0.5'))]", "1,234.00 2.3 50 %"),
    ("[format('{0:E2}', 12345)]", "1.23E+004"),
    ("[format('{0}', null())]", ""),
    ("[guid('a', 'b')]", str(uuid.uuid5(uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830"), "a-b"))),
    ("[join(createArray('I', 'love', 'Bicep'), ' ')]", "I love Bicep"),
    ("[join(createArray('abc', 'def'), '')]", "abcdef"),
    ("[padLeft('123', 10, '0')]", "0000000123"),
    ("[padLeft(5, 3)]", "  5"),
    ("[replace('123-123-1234', '-', '')]", "1231231234"),
    ("[replace('123-123-1234', '1234', 'xxxx')]", "123-123-xxxx"),
    ("[split('one,two,three', ',')]", ["one", "two", "three"]),
    ("[split('one;two,three', createArray(',', ';'))]", ["one", "two", "three"]),
    ("[string(createArray('a', 'b', 'c'))]", '["a","b","c"]'),
    ("[string(5)]", "5"),
    ("[string(true())]", "True"),
    ("[string(json('{\"a\": 1.0}'))]", '{"a":1.0}'),
    ("[substring('one two three', 4, 3)]", "two"),
    ("[substring('abc', 3)]", ""),
    ("[toLower('One Two Three')]", "one two three"),
    ("[toUpper('One Two Three')]", "ONE TWO THREE"),
    ("[trim('    one two three   ')]", "one two three"),
    ("[uniqueString('test')]", "rbgf3xv4ufgzg"),
    ("[uniqueString('hello', 'world')]", "a7wkljktk6wne"),
    ("[uniqueString('tyeth')]", "zcztcwvu6iyg6"),
    ("[uniqueString('abc')]", "cgtzqvhu4i23s"),
    ("[uniqueString('foo', 'bar', 'baz')]", "xzi4ioaxtmth4"),
    ("[uniqueString('/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/my-rg')]", "bmg7c6xu4tw46"),
    ("[uri('http://contoso.org/firstpath', 'myscript.sh')]", "http://contoso.org/myscript.sh"),
    ("[uri('http://contoso.org/firstpath/', 'myscript.sh')]", "http://contoso.org/firstpath/myscript.sh"),
    ("[uri('http://contoso.org/firstpath/azuredeploy.json/', 'myscript.sh')]", "http://contoso.org/firstpath/azuredeploy.json/myscript.sh"),
    ("[uri('http://contoso.com/resources/', 'nested/azuredeploy.json')]", "http://contoso.com/resources/nested/azuredeploy.json"),
    ("[uriComponent('http://contoso.com/resources/nested/azuredeploy.json')]", "http%3A%2F%2Fcontoso.com%2Fresources%2Fnested%2Fazuredeploy.json"),
    ("[uriComponentToString('http%3A%2F%2Fcontoso.com%2Fa+b')]", "http://contoso.com/a b"),
    # the language itself
    ("[[concat('x')]", "[concat('x')]"),
    ("[text", "[text"),
    ("[indexFromEnd(createArray('a', 'b', 'c'), 1)]", "c"),
    ("[indexFromEnd(createArray('a', createObject('x', 7)), 1).x]", 7),
    ("[tryIndexFromEnd(createArray('a', 'b', 'c'), 3)]", "a"),
    ("[tryIndexFromEnd(createArray('a', 'b', 'c'), 4)]", None),
    ("[tryIndexFromEnd(null(), 1)]", None),
    ("[tryIndexFromEnd(createArray(createObject('foo', createArray(5))), 1, 'foo', 0)]", 5),
    (
        "[parseUri('https://example.com:1234/foo/bar')]",
        {"scheme": "https", "host": "example.com", "port": 1234, "path": "/foo/bar"},
    ),
    ("[parseUri('https://example.com/')]", {"scheme": "https", "host": "example.com", "port": None}),
    (
        "[parseUri('https://example.com/foo/bar?a=1&b=2')]",
        {"scheme": "https", "host": "example.com", "port": None, "path": "/foo/bar", "query": "?a=1&b=2"},
    ),
    ("[buildUri(createObject('scheme', 'https', 'host', 'example.com', 'path', 'a/b'))]", "https://example.com/a/b"),
    ("[buildUri(createObject('scheme', 'http', 'host', 'x.y', 'port', 8080, 'query', '?a=b'))]", "http://x.y:8080/?a=b"),
    ("[buildUri(parseUri('https://example.com:1234/foo?q=1'))]", "https://example.com:1234/foo?q=1"),
    ("['it''s']", "it's"),
    ("[CONCAT('a', 'b')]", "ab"),
    ("[json('{\"a\":{\"B\":[1,2]}}').A['b'][1]]", 2),
    ("[json('{\"True\":1,\"true\":2}')['true']]", 2),
    ("[length('\U0001f600')]", 2),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "wanted"), CASES, ids=[case[0][:60] for case in CASES])
def test_known_results(expression: str, wanted: Any) -> None:
    found = result(expression)
    assert found == wanted
    assert type(found) is type(wanted)


DEFAULTS = [
    ("[utcNow()]", "20190305T175318Z"),
    ("[utcNow('d')]", "03/05/2019"),
    ("[utcNow('M d')]", "3 5"),
    ("[utcNow('u')]", "2019-03-05 17:53:18Z"),
    ("[utcNow('o')]", "2019-03-05T17:53:18.1234560Z"),
    ("[utcNow('R')]", "Tue, 05 Mar 2019 17:53:18 GMT"),
    ("[utcNow('dddd, dd MMMM yyyy hh:mm tt')]", "Tuesday, 05 March 2019 05:53 PM"),
    ("[utcNow('yyyy-MM-ddTHH:mm:ss.fffK')]", "2019-03-05T17:53:18.123Z"),
]


@pytest.mark.parametrize(("expression", "wanted"), DEFAULTS)
def test_time_in_default_values(expression: str, wanted: str) -> None:
    assert result("[parameters('p')]", parameters={"p": {"type": "string", "defaultValue": expression}}) == wanted


def test_new_guid_only_in_defaults_and_from_the_injected_ids() -> None:
    declared = {"p": {"type": "string", "defaultValue": "[newGuid()]"}}
    assert uuid.UUID(result("[parameters('p')]", parameters=declared)).version == 4
    for expression in ("[newGuid()]", "[utcNow()]"):
        with pytest.raises(LazurError) as caught:
            result(expression)
        assert "is not expected at this location" in caught.value.details[0].message


def test_live_functions() -> None:
    id = f"{RG}/providers/Microsoft.Storage/storageAccounts/s1"
    live = Live({id: {"properties": {"state": "on"}, "location": "local", "id": id}})
    name = "resourceId('Microsoft.Storage/storageAccounts', 's1')"
    assert result(f"[reference({name}, '2024-01-01').state]", live) == "on"
    assert result(f"[reference({name}, '2024-01-01', 'Full').location]", live) == "local"
    assert result(f"[listKeys({name}, '2024-01-01').keys[0].value]", live) == "key of s1"
    assert result(f"[list(concat({name}, '/config/x'), '2024-01-01', createObject('a', 1)).body]", live) == {"a": 1}
    assert live.asked[-2:] == [("listKeys", id, "2024-01-01"), ("list", f"{id}/config/x", "2024-01-01")]


REFUSED = [
    ("[indexFromEnd(createArray(1), 2)]", "out of bounds"),
    ("[indexFromEnd(createArray(1), 0)]", "1 or more"),
    ("[tryIndexFromEnd(createArray(createObject()), 1, 'x')]", "doesn't exist"),
    ("[parseUri('example.com/x')]", "absolute URI"),
    ("[parseUri('https://x:99999/')]", "absolute URI"),
    ("[buildUri(createObject('host', 'x'))]", "'scheme'"),
    ("[buildUri(createObject('scheme', 'https', 'host', 'x/y'))]", "'host'"),
    ("[buildUri(createObject('scheme', 'https', 'host', 'x', 'port', 70000))]", "'port'"),
    ("[externalInputs('0')]", "is not expected at this location"),
    ("[range(0, 10001)]", "10000"),
    ("[range(2147483647, 2)]", "2147483647"),
    ("[substring('abc', 2, 5)]", "substring"),
    ("[int('abc')]", "integer"),
    ("[div(1, 0)]", "zero"),
    ("[add(9223372036854775807, 1)]", "64 bits"),
    ("[add('1', 2)]", "integer"),
    ("[createObject('a')]", "even"),
    ("[cidrHost('10.0.0.0/30', 2)]", "host"),
    ("[cidrSubnet('10.0.0.0/24', 23, 0)]", "prefix length"),
    ("[parseCidr('10.0.0.0')]", "CIDR"),
    ("[resourceId('A.B/c/d', 'x')]", "requires '2' resource name"),
    ("[nope(1)]", "'nope' is not valid"),
    ("[concat(createArray(1), 'x')]", "concat"),
    ("[and(true(), 1)]", "boolean"),
    ("[createObject('a', 1).b]", "doesn't exist, available properties are 'a'"),
    ("[createArray(1)[1]]", "out of bounds"),
    ("[null().x]", "can't be evaluated"),
    ("[dateTimeAdd('x', 'P1D')]", "ISO 8601"),
    ("[dateTimeAdd('2020-01-01', '1D')]", "duration"),
    ("[format('{1}', 'a')]", "zero based"),
    ("[format('{', 'a')]", "correct format"),
    ("[base64ToString('***')]", "base 64"),
    ("[copyIndex()]", "copy loop"),
    ("[lambda('x', 1)]", "lambda"),
    ("[map(createArray(1), 1)]", "lambda"),
    ("[variables('nope')]", "The template variable 'nope' is not found"),
    ("[parameters('nope')]", "The template parameter 'nope' is not found"),
    ("[managementGroup().name]", "MANAGEMENTGROUP"),
    ("[reference('nope')]", "not defined in the template"),
    ("[contains(1, 2)]", "contains"),
    ("[if('true', 1, 2)]", "boolean"),
    ("[fail('because')]", "because"),
    ("[string(1, 2)]", "argument"),
    ("[x.y('a')]", "not defined"),
]


@pytest.mark.parametrize(("expression", "words"), REFUSED)
def test_refusals_say_why(expression: str, words: str) -> None:
    with pytest.raises(LazurError) as caught:
        result(expression)
    assert words in str([caught.value.body()])


def test_every_function_has_a_case() -> None:
    text = " ".join(case[0].lower() for case in [*CASES, *DEFAULTS, *REFUSED])
    elsewhere = {"list*", "newguid", "reference", "references", "resourceinfo", "parameters", "variables", "copyindex"}
    assert [name for name in FUNCTIONS if f"{name}(" not in text and name not in elsewhere] == []
