"""Corpora in XML, CSV and plain text: VOC, CVAT, VIA and Open Images CSV, YOLO, MOT, lists of addresses."""

import csv
import io
import json
import random
from typing import Any
from xml.etree import ElementTree

from made_corpora import (
    Made,
    Marks,
    Put,
    a_box,
    damaged,
    image_files,
    marks_in,
    some_images,
)
from odd_values import ODD_TEXTS, changed_text, num_changes

Element = ElementTree.Element


def element(tag: str, *children: Element, text: str | None = None, **attributes: Any) -> Element:
    made = ElementTree.Element(tag, {key: str(value) for key, value in attributes.items()})
    made.text = text
    made.extend(children)
    return made


def change_xml(root: Element, chance: random.Random) -> None:
    """Change elements below the root: remove, double, rename, move, or write something else in them."""
    for _ in range(num_changes(chance)):
        pairs = [(parent, child) for parent in root.iter() for child in parent]
        if not pairs:
            return
        parent, child = chance.choice(pairs)
        way = chance.randrange(7)
        if way == 0:
            parent.remove(child)
        elif way == 1:
            parent.append(child)
        elif way == 2:
            child.tag = chance.choice(("object", "box", "name", "x", child.tag.upper(), child.tag + "s"))
        elif way == 3:
            child.text = _storable(
                chance.choice((chance.choice(ODD_TEXTS), changed_text(child.text or "", chance)))
            )
        elif way == 4 and child.attrib:
            key = chance.choice(list(child.attrib))
            child.set(key, _storable(changed_text(child.attrib[key], chance)))
        elif way == 5 and child.attrib:
            del child.attrib[chance.choice(list(child.attrib))]
        else:
            root.insert(chance.randrange(len(root) + 1), child)


def _storable(text: str) -> str:
    return "".join(letter for letter in text if letter >= " " and not "\ud800" <= letter <= "\udfff")


def xml_bytes(root: Element, chance: random.Random) -> tuple[bytes, bool]:
    """The XML, now and then with another declared encoding."""
    text = ElementTree.tostring(root, encoding="unicode")
    head = chance.choice(("", "", '<?xml version="1.0"?>\n', '<?xml version="1.0" encoding="utf-8"?>\n'))
    is_odd = chance.random() < 0.03
    if is_odd:
        head = f'<?xml version="1.0" encoding="{chance.choice(("utf-16", "gb2312", "no-such", "cp1252"))}"?>'
    data, is_damaged = damaged(head + text, chance)
    return data, is_damaged or is_odd


def voc(chance: random.Random) -> tuple[str, Made]:
    names, marks = some_images(chance), Marks()
    files = image_files(names, chance)
    put: list[Put] = []
    is_damaged = False
    for name in names:
        root = element(
            "annotation",
            element("folder", text="x"),
            element("filename", text=name),
            element("size", element("width", text="100"), element("height", text="80")),
        )
        for _ in range(chance.randint(0, 3)):
            x, y, width, height = a_box(chance)
            corners = zip(("xmin", "ymin", "xmax", "ymax"), (x, y, x + width, y + height), strict=True)
            box = element("bndbox", *(element(tag, text=str(value)) for tag, value in corners))
            root.append(element("object", element("name", text=marks.next()), box))
        change_xml(root, chance)
        data, is_odd = xml_bytes(root, chance)
        is_damaged |= is_odd
        files[name.partition(".")[0] + ".xml"] = data
        objects = [item for item in root.findall("object") if (item.findtext("deleted") or "").strip() != "1"]
        put += [Put(name, marks_in([item.findtext("name")])) for item in objects]
    return "VOC", Made(files, "", put, is_damaged=is_damaged)


def cvat(chance: random.Random) -> tuple[str, Made]:
    names, marks = some_images(chance), Marks()
    root = element("annotations", element("version", text="1.1"))
    for number, name in enumerate(names):
        image = element("image", id=number, name=name, width=100, height=80)
        for _ in range(chance.randint(0, 3)):
            x, y, width, height = a_box(chance)
            shapes = (
                ("box", {"xtl": x, "ytl": y, "xbr": x + width, "ybr": y + height}),
                ("polygon", {"points": "1,2;30,2;30,20"}),
                ("ellipse", {"cx": x, "cy": y, "rx": 3, "ry": 2}),
                ("points", {"points": "1,2"}),
                ("mask", {"rle": "1, 3, 4", "left": 1, "top": 2, "width": 4, "height": 2}),
            )
            tag, attributes = chance.choice(shapes)
            image.append(element(tag, label=marks.next(), occluded=0, **attributes))
        root.append(image)
    change_xml(root, chance)
    data, is_damaged = xml_bytes(root, chance)
    tags = {"box", "polygon", "polyline", "ellipse", "points", "mask"}
    shapes_left = [child for image in root.iter("image") for child in image if child.tag in tags]
    put = [Put("", marks_in([child.get("label")])) for child in shapes_left]
    files = {"annotations.xml": data, **image_files(names, chance)}
    return "CVAT", Made(files, chance.choice(("", "annotations.xml")), put, is_damaged=is_damaged)


def csv_corpus(chance: random.Random) -> tuple[str, Made]:
    names, marks = some_images(chance), Marks()
    header, rows = chance.choice((_via_csv, _open_images_csv, _metadata_csv))(names, chance, marks)
    for _ in range(num_changes(chance)):
        row = chance.choice([header, *rows])
        way = chance.randrange(5)
        place = chance.randrange(len(row)) if row else 0
        if way == 0 and row:
            del row[place]
        elif way == 1:
            row.append(chance.choice(ODD_TEXTS))
        elif way == 2 and rows:
            rows.append(list(chance.choice(rows)))
        elif row:
            row[place] = changed_text(row[place], chance)
    buffer = io.StringIO()
    lines = csv.writer(buffer, lineterminator=chance.choice(("\n", "\r\n")), quoting=chance.choice((0, 1)))
    lines.writerows([header, *rows])
    data, is_damaged = damaged(buffer.getvalue(), chance)
    name = chance.choice(("labels.csv", "metadata.csv"))
    files = {name: data, **image_files(names, chance)}
    put = [Put(str(number), marks_in([row])) for number, row in enumerate(rows) if len(row) == len(header)]
    return "CSV", Made(files, chance.choice(("", name)), put, is_damaged=is_damaged)


_Table = tuple[list[str], list[list[str]]]


def _via_csv(names: list[str], chance: random.Random, marks: Marks) -> _Table:
    header = (
        "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    )
    rows = []
    for name in names:
        for number in range(chance.randint(1, 2)):
            x, y, width, height = a_box(chance)
            shape = json.dumps({"name": "rect", "x": x, "y": y, "width": width, "height": height})
            rows.append([name, "1", "{}", "2", str(number), shape, json.dumps({"label": marks.next()})])
    return header.split(","), rows


def _open_images_csv(names: list[str], chance: random.Random, marks: Marks) -> _Table:
    rows = [
        [name.rpartition(".")[0], "x", marks.next(), "1", "0.1", "0.5", "0.2", "0.6", "0", "0"]
        for name in names
        for _ in range(chance.randint(1, 2))
    ]
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf"
    return header.split(","), rows


def _metadata_csv(names: list[str], chance: random.Random, marks: Marks) -> _Table:
    rows = []
    for name in names:
        regions = [{"box_xyxy": [1, 2, 3, 4], "label": marks.next()} for _ in range(chance.randint(0, 2))]
        rows.append([name, marks.next(), json.dumps(regions)])
    return ["file_name", "caption", "regions"], rows


def yolo(chance: random.Random) -> tuple[str, Made]:
    """`images/` and `labels/`, with or without a `data.yaml`."""
    names = [name for name in some_images(chance) if "." in name] or ["a.png"]
    files = {f"images/{name}": b"not opened" for name in names}
    num_lines = 0
    for name in names:
        lines = [_yolo_line(chance) for _ in range(chance.randint(0, 4))]
        text = chance.choice(("\n", "\r\n")).join(lines)
        files[f"labels/{name.rpartition('.')[0]}.txt"] = text.encode("utf-8", "surrogatepass")
        num_lines += len({line.strip() for line in text.splitlines() if line.strip()})
    if chance.random() < 0.6:
        yaml = "path: .\ntrain: images\nval: images\nnc: 2\nnames: [cat, dog]\n"
        if chance.random() < 0.5:
            yaml = changed_text(yaml, chance)
        files["data.yaml"] = yaml.encode("utf-8", "surrogatepass")
    return "YOLO", Made(files, lines=num_lines)


def _yolo_line(chance: random.Random) -> str:
    line = chance.choice(
        (
            f"{chance.randint(0, 3)} 0.5 0.5 0.{chance.randint(1, 9)} 0.2",
            "1 0.5 0.5 0.2 0.2 0.9",
            "0 0.5 0.5 0.2 0.2 0.9 17",
            "0 0.1 0.1 0.4 0.1 0.4 0.4",
            "0 320 240 20 20",
        )
    )
    return changed_text(line, chance).replace("\n", " ") if chance.random() < 0.2 else line


def mot(chance: random.Random) -> tuple[str, Made]:
    """A sequence of MOT challenge: its frames and its text."""
    lines = []
    for number in range(chance.randint(1, 6)):
        line = f"{chance.randint(1, 4)},{number},{chance.randint(1, 50)},2,30,20,1,1,0.{number}"
        lines.append(changed_text(line, chance) if chance.random() < 0.15 else line)
    data, is_damaged = damaged("\n".join(lines) + "\n", chance)
    ini = "[Sequence]\nname=S\nimDir=img1\nframeRate=10\nseqLength=4\nimWidth=100\nimHeight=80\nimExt=.png\n"
    if chance.random() < 0.2:
        ini = changed_text(ini, chance)
    files = {f"S/img1/{number:06d}.png": b"" for number in range(1, 5)}
    files |= {"S/gt/gt.txt": data, "S/seqinfo.ini": ini.encode("utf-8", "surrogatepass")}
    return "MOT", Made(files, chance.choice(("", "S")), is_damaged=is_damaged)


def address_list(chance: random.Random) -> tuple[str, Made]:
    names = some_images(chance)
    lines = [changed_text(name, chance) if chance.random() < 0.3 else name for name in names]
    data, is_damaged = damaged("\n".join([*lines, "a.png"]), chance)
    files = {"list.txt": data, **image_files(names, chance)}
    return "list", Made(files, "list.txt", is_damaged=is_damaged)
