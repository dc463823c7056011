"""All pages: every chart has words and numbers for those who do not see it."""

import re

import pytest

from tests.support.pages import PAGES


@pytest.mark.parametrize("name", PAGES)
def test_every_chart_has_a_title_and_its_numbers_as_a_table(name: str) -> None:
    page = PAGES[name]()
    figures = re.findall("<figure.*?</figure>", page, re.DOTALL)
    assert len(figures) == page.count("<svg") > 0
    for figure in figures:
        assert re.search(r"<svg[^>]*>\s*<title[^>]*>[^<]+</title>", figure)
        link = re.search('href="#([a-z]+)"', figure)
        assert "<table" in figure or (link and "<table" in page.partition(f'id="{link[1]}"')[2])
