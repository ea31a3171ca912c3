"""How recent is quantization aware training: the papers, and the bits that they trained for.

A dated list with a source for each entry, and a figure of it.
Source: each entry names its own; an arXiv number begins with the year and the month.
"""

# %% papers
# when | bits of a weight | name in the figure | what | source, and below it why it mattered
PAPERS = """
1989 | 1 | binary | Binary weights, Grossman | https://papers.nips.cc/paper_files/paper/1989/hash/eae27d77ca20db309e056e3d2dcd7d69-Abstract.html
    Weights of +1 and -1, learned by a search over what the hidden units should say
1992 | 7-13 | few bits | Learning with few bits, Hoehfeld and Fahlman | https://doi.org/10.1109/72.143374
    Below about 13 bits learning fails; rounding at random brings that down to 7 and fewer
1993-03 | ? | | How many bits, Holt and Hwang | https://www.computer.org/csdl/trans/tc/1993/03/t0281-abs.html
    The precision that inference and backpropagation need in hardware, derived
2013-08 | ? | | Straight-through estimator, Bengio et al. | https://arxiv.org/abs/1308.3432
    The trick of today: a step has no useful gradient, so the gradient goes past it unchanged
2014-10 | 2 | | Retraining in fixed point, Hwang and Sung | https://doi.org/10.1109/SiPS.2014.6986082
    Today's recipe: quantized values compute the output, precise weights take the updates
2015-11 | 1 | | BinaryConnect, Courbariaux et al. | https://arxiv.org/abs/1511.00363
    The same recipe, with weights of one bit
2016-02 | 1 | | Binarized neural networks (BNN) | https://arxiv.org/abs/1602.02830
    Activations of one bit as well
2016-03 | 1 | | XNOR-Net, Rastegari et al. | https://arxiv.org/abs/1603.05279
    One bit at the size of ImageNet
2016-06 | 1 | binary networks | DoReFa-Net, Zhou et al. | https://arxiv.org/abs/1606.06160
    Gradients of few bits as well
2017-12 | 8 | int8, integers only | Integer-only inference, Jacob et al. | https://arxiv.org/abs/1712.05877
    An 8-bit scheme and the training for it, designed together; TensorFlow's tool was made from it
2018-05 | 4 | | PACT, Choi et al. | https://arxiv.org/abs/1805.06085
    Learns where to clip the activations: 4 bits are enough
2018-06 | 8 | | White paper, Krishnamoorthi | https://arxiv.org/abs/1806.08342
    Weights per channel come within 2 % of float without training; a guide to both
2019-02 | 2-4 | PACT, LSQ | Learned step size (LSQ), Esser et al. | https://arxiv.org/abs/1902.08153
    Learns the scale itself: as accurate with 3 bits as in float
2023-05 | ? | | QLoRA, Dettmers et al. | https://arxiv.org/abs/2305.14314
    Not QAT: 4-bit weights stay as they are, and small adapters beside them are trained
2023-05 | 4 | LLMs | LLM-QAT, Liu et al. | https://arxiv.org/abs/2305.17888
    Language models of up to 30 billion weights in 4 bits, on text that they wrote themselves
2025-04 | 4 | | Gemma 3 QAT checkpoints | https://huggingface.co/google/gemma-3-4b-it-qat-q4_0-gguf
    The maker of a language model publishes a 4-bit version that was trained as one
"""

# %% table
import calendar
import re

from handbook.record import record, table

PATTERN = r"(\d{4})-?(\d\d)? \| (\S+) \| (.*?) ?\| (.+) \| (https://\S+)\n {4}(\S.*)"
papers = re.findall(PATTERN, PAPERS)
rows = []
for year, month, bits, _, what, url, why in papers:
    if arxiv := re.search(r"arxiv\.org/abs/(\d\d)(\d\d)\.", url):
        assert arxiv.groups() == (year[2:], month)
    when = f"{calendar.month_abbr[int(month or 0)]} {year}".strip()
    bits = bits.replace("-", "\u2013").replace("?", "")
    rows.append({"when": when, "what": f"[{what}]({url})", "bits": bits, "why it mattered": why})
table("papers", rows)
dates = [(year, month) for year, month, *_ in papers]
assert dates == sorted(dates) and len({url for *_, url, _ in papers}) == len(papers)
assert len(papers) == PAPERS.count("https://")  # none was skipped
record(papers=len(papers), years_to_int8=2017 - int(dates[0][0]))

# %% figure
from handbook.figure import figure, plt

fig, (early, late) = plt.subplots(1, 2, sharey=True, width_ratios=[1, 3.6])
for year, month, bits, label, *_ in papers:
    if bits != "?":
        ax = early if int(year) < 2000 else late
        low, *_, high = [int(number) for number in bits.split("-") * 2]
        when = int(year) + (int(month or 7) - 0.5) / 12
        ax.plot([when, when], [low, high], "o-", markersize=5, color="C0")
        offset, align = ((8, -4), "left") if high == 1 else ((0, 6), "center")
        ax.annotate(label, (when, high), offset, textcoords="offset points", ha=align)
early.set(xlim=(1987.5, 1994), xticks=[1989, 1992], ylabel="bits of a weight", ylim=(0, 14.5))
late.set(xlim=(2013, 2027.5), xticks=[2015, 2018, 2021, 2024])
late.spines["left"].set_visible(False)
late.tick_params(left=False)
figure("papers", fig)
