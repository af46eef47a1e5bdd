"""What docs/DEPLOYMENT.md says of Kubernetes is what lies in deployments/kubernetes."""

import re

from rendered_manifests import FOLDER, ROOT, container, pod

PAGE = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
CHAPTER = PAGE.partition("\n## Kubernetes\n")[2].partition("\n## ")[0]


def test_every_path_is_there() -> None:
    paths = re.findall(r"deployments/kubernetes[\w./-]*", CHAPTER)
    assert len(paths) > 3
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_overlay_and_component_is_named() -> None:
    for folder in ("overlays", "components"):
        for each in (FOLDER / folder).iterdir():
            assert f"`{each.name}`" in CHAPTER, each


def test_the_numbers_are_those_of_the_manifests() -> None:
    rows = {cells[-2].strip(" `"): cells[-3].strip() for line in CHAPTER.splitlines() if len(cells := line.split("|")) == 5}
    assert rows["preStop"] == str(container("base")["lifecycle"]["preStop"]["sleep"]["seconds"])
    assert rows["terminationGracePeriodSeconds"] == str(pod("base")["terminationGracePeriodSeconds"])
    resources = container("base")["resources"]
    said = re.search(r"The request is (\d+) MiB, the limit (\d+)\.", CHAPTER)
    assert said is not None
    assert (f"{said[1]}Mi", f"{said[2]}Mi") == (resources["requests"]["memory"], resources["limits"]["memory"])
