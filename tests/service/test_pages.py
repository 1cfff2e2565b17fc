"""What a page knows about its rows."""

import pytest

from gql_secrets.service.pages import Page, PageRequest


async def counted() -> int:
    return 5


@pytest.mark.parametrize(
    ("request_", "read", "expected"),
    [
        (PageRequest(2), [], 0),
        (PageRequest(2), [1, 2], 2),
        (PageRequest(last=2), [2, 1], 2),
        (PageRequest(0), [], 0),
        (PageRequest(2), [1, 2, 3], 5),
        (PageRequest(0), [1], 5),
        (PageRequest(last=2), [5, 4, 3], 5),
        (PageRequest(2, after="x"), [4, 5], 5),
        (PageRequest(2, after="x"), [], 5),
        (PageRequest(last=2, before="x"), [1], 5),
    ],
)
async def test_rows_are_counted_unless_the_page_has_all_of_them(
    request_: PageRequest, read: list[int], expected: int
) -> None:
    assert await Page.of(request_, read, str, count=counted).count() == expected
