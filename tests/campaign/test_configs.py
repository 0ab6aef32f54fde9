"""Every config that comes with xplore can be built; what is wrong in nested parts is told by its path."""

import re

import pytest

from xplore._util.checkout import folder
from xplore._util.errors import InputError
from xplore.campaign.config.file import build, load
from xplore.constraints import Affine, Chain, Constraint, Latent, Patches, Photometric
from xplore.search import Search

CONFIGS = sorted(path.stem for path in folder("configs").glob("*.toml"))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds(name):
    config = load(name)
    assert isinstance(build(config.constraint), Constraint)
    for part in filter(None, [config.search, config.baseline]):
        assert isinstance(build(part), Search)
    for part in filter(None, [config.objective, config.oracle, *config.criteria]):
        build(part)


def test_what_the_comments_of_a_config_offer_instead_can_be_built():
    offered = [
        (name, other)
        for name in CONFIGS
        for other in re.findall(
            r"(?m)^# +(\{use.*\})$", (folder("configs") / f"{name}.toml").read_text("utf-8")
        )
    ]
    assert len(offered) >= 16 and {name for name, _ in offered} >= {"imagenet", "driving"}
    for name, other in offered:
        assert isinstance(build(load(name, [f"constraint={other}"]).constraint), Constraint)


def test_a_chain_and_a_decoder_are_what_their_configs_say():
    chain = build(load("mnist_chain", ["constraint.parts.1.brightness=0.1"]).constraint)
    assert chain == Chain((Affine(), Photometric(brightness=0.1)))
    latent = build(load("mnist_latent", ["constraint.bound=2.0"]).constraint)
    assert isinstance(latent, Latent) and latent.bound == 2.0
    boxes = 'constraint={use="xplore.constraints:Patches", boxes=[[2, 3, 4, 5], [0, 0, 2, 2]]}'
    assert build(load("mnist_affine", [boxes]).constraint) == Patches(((2, 3, 4, 5), (0, 0, 2, 2)))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("constraint.parts.1.brightnes=0.1", r"constraint.parts\[1\].brightnes: .*brightness"),
        ('constraint.parts.0.use="xplore.constraints:Afine"', r"constraint.parts\[0\].use: .*'Affine'"),
        ("constraint.parts.0.rotate=[1]", r"constraint.parts\[0\].rotate: expected a number"),
        ("constraint.parts=[]", r"Chain.parts: expected constraints on images, one at least, got none"),
        ("constraint.parts=[{bound=0.1}]", r"constraint.parts\[0\].use: expected \"module:Name\""),
        ("constraint.parts=3", r"constraint.parts: expected"),
        (
            'constraint={use="xplore.constraints:Patches", boxes=[[2, 3, 4]]}',
            r"constraint.boxes: expected",
        ),
    ],
)
def test_what_is_wrong_in_nested_parts_is_told(setting, says):
    with pytest.raises(InputError, match=f"(?s){says}"):
        build(load("mnist_chain", [setting]).constraint)
