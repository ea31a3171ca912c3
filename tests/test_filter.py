"""The controls above a long or wide table: by keyboard, on a phone, and without JavaScript."""

import pytest
from conftest import build_site
from playwright.sync_api import expect, sync_playwright
from test_browser import NO_OTHER_HOST, OVERFLOW, faults, find_chromium, served

import records

PAGE = """# Table

Some text.

<div class="column-filter" data-legend="Show" markdown>

| layer | eager static | eager dynamic | ORT static |
|---|---|---|---|
| Linear | int8 | int8 | int8 |
| GRU | error | int8 | float |

</div>

<div class="row-filter" data-legend="Ways" data-columns="2" data-first="ONNX" markdown>

| I have | I want | steps |
|---|---|---|
| ONNX | Keras | 1 |
| ONNX | TFLite | 2 |
| Keras | TFLite | 1 |

</div>
"""


@pytest.fixture(scope="module")
def table_site(tmp_path_factory):
    """A site of one page that has a table with a filter."""
    folder = tmp_path_factory.mktemp("filter")
    (folder / "docs/records").mkdir(parents=True)
    (folder / "docs/assets").symlink_to(records.ROOT / "docs/assets")
    (folder / "docs/index.md").write_text(PAGE)
    return build_site(folder / "site", docs_dir=str(folder / "docs"), nav=["index.md"])


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[NO_OTHER_HOST])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, table_site):
    """The page on a phone."""
    with served(table_site) as root:
        page = browser.new_page(viewport={"width": 360, "height": 800})
        page.goto(root)
        yield page
        page.close()


def heads(page) -> list[str]:
    return page.locator(".column-filter thead th:visible").all_inner_texts()


def rows(page) -> list[str]:
    return page.locator(".row-filter tbody tr:visible").all_inner_texts()


def test_every_state_is_without_fault(browser, table_site):
    assert faults(browser, table_site) == []


def test_a_box_hides_its_columns_and_says_so(page):
    assert heads(page) == ["layer", "eager static", "eager dynamic", "ORT static"]
    page.get_by_label("eager").uncheck()
    assert heads(page) == ["layer", "ORT static"]
    assert page.locator(".column-filter td:visible").all_inner_texts() == [
        "Linear",
        "int8",
        "GRU",
        "float",
    ]
    expect(page.get_by_role("status").first).to_have_text("1 of 3 columns")
    assert page.evaluate(OVERFLOW) == 0


def test_works_by_keyboard(page):
    page.get_by_label("eager").focus()
    page.keyboard.press("Space")
    assert heads(page) == ["layer", "ORT static"]
    page.keyboard.press("Tab")  # to ORT
    page.keyboard.press("Space")
    assert heads(page) == ["layer"]
    page.keyboard.press("Tab")  # to the button All
    page.keyboard.press("Enter")
    assert len(heads(page)) == 4 and page.get_by_label("ORT").is_checked()


def test_a_button_hides_all(page):
    page.get_by_role("button", name="None").click()
    assert heads(page) == ["layer"]
    expect(page.get_by_role("status").first).to_have_text("0 of 3 columns")


def test_lists_choose_rows(page):
    assert rows(page) == ["ONNX\tKeras\t1", "ONNX\tTFLite\t2"]  # data-first
    page.get_by_label("I want").select_option("TFLite")
    assert rows(page) == ["ONNX\tTFLite\t2"]
    page.get_by_label("I have").select_option("anything")
    assert rows(page) == ["ONNX\tTFLite\t2", "Keras\tTFLite\t1"]
    expect(page.get_by_role("status").last).to_have_text("2 of 3 rows")
    page.get_by_label("I have").select_option("Keras")
    page.get_by_label("I want").select_option("Keras")
    expect(page.get_by_role("status").last).to_have_text("No measured way.")
    assert page.evaluate(OVERFLOW) == 0


def test_without_javascript_the_table_is_whole(browser, table_site):
    with served(table_site) as root, browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(root)
        assert len(heads(page)) == 4 and len(rows(page)) == 3
        assert page.locator("fieldset").count() == 0
