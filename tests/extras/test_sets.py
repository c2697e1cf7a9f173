"""The test sets through `datasets`: tiny files of the hub's own fields, with no network."""

import datasets
import pytest

from neurolab import test_sets
from neurolab.set_cards import CARDS
from tests.set_rows import features, rows


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("form", ["parquet", "saved", "parts"])
def test_each_set_is_read_from_a_folder_with_the_fields_of_the_hub(name, form, tmp_path):
    card = CARDS[name]
    made = datasets.Dataset.from_list(rows(card), features=features(card))
    if form == "parquet":
        made.to_parquet(tmp_path / f"{card.split}-00000-of-00001.parquet")
    elif form == "saved":
        made.save_to_disk(tmp_path)
    else:
        datasets.DatasetDict({card.split: made, "train": made.select([0])}).save_to_disk(tmp_path)
    assert test_sets.load(name, tmp_path) == test_sets.load(name, rows(card))
    assert test_sets.load(name, tmp_path, limit=1) == test_sets.load(name, rows(card)[:1])


def test_csv_files_do_as_well_and_leave_nothing_behind(tmp_path, monkeypatch):
    card = CARDS["glue_rte"]
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = tmp_path / "csv"
    folder.mkdir()
    datasets.Dataset.from_list(rows(card)).to_csv(folder / "validation.csv", index=False)
    assert test_sets.load("glue_rte", folder) == test_sets.load("glue_rte", rows(card))
    assert [p.name for p in folder.iterdir()] == ["validation.csv"]


def test_a_file_whose_labels_have_another_order_is_refused(tmp_path):
    card = CARDS["glue_mnli"]
    turned = features(card) | {"label": datasets.ClassLabel(names=list(reversed(card.labels)))}
    made = datasets.Dataset.from_list(rows(card), features=datasets.Features(turned))
    made.to_parquet(tmp_path / f"{card.split}.parquet")
    with pytest.raises(ValueError, match="contradiction, neutral, entailment; those of glue_mnli are entail"):
        test_sets.load("glue_mnli", tmp_path)


def test_a_part_that_was_not_saved_is_named(tmp_path):
    card = CARDS["squad"]
    made = datasets.Dataset.from_list(rows(card), features=features(card))
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path)
    with pytest.raises(ValueError, match="has the parts train, and no 'validation'"):
        test_sets.load("squad", tmp_path)


@pytest.mark.parametrize("name", CARDS)
def test_what_is_asked_of_the_hub(name, monkeypatch):
    card, asked = CARDS[name], []

    def load_dataset(*args, **more):
        asked.append((args, more))
        return datasets.Dataset.from_list(rows(card), features=features(card))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert test_sets.load(name, download=True) == test_sets.load(name, rows(card))
    place = "hf://datasets/iapp/iapp_wiki_qa_squad@refs/convert/parquet/iapp_wiki_qa_squad/test/*.parquet"
    wanted = ((card.hub, card.config), {"split": card.split})
    if name == "iapp_th":
        wanted = (("parquet",), {"data_files": {"test": place}, "split": "test"})
    assert asked == [wanted]
