"""Numbers as .NET's invariant culture formats them: standard formats (`N2`, `D5`, `X`) and custom ones (`#,##0.00`)."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal

from lazur.providers.resources.template.values import float_text

_STANDARD = re.compile(r"([A-Za-z])(\d{0,2})")
_EXACT = Context(prec=400, rounding=ROUND_HALF_UP)
_TOKEN = re.compile(r"'([^']*)'?|\"([^\"]*)\"?|\\(.)|[eE]([+-]?)(0+)|([0#.,%‰])|(.)", re.DOTALL)


class BadFormat(ValueError):
    """The format is none that this number has."""


def write(value: int | float, form: str) -> str:
    """`value` in a .NET format; raises `BadFormat`."""
    if not form:
        return general(value)
    standard = _STANDARD.fullmatch(form)
    if standard is not None:
        return _standard(value, standard.group(1), standard.group(2))
    return _custom(value, form)


def general(value: int | float) -> str:
    """The default form."""
    return str(value) if isinstance(value, int) else float_text(value)


def _decimal(value: int | float) -> Decimal:
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))


def _standard(value: int | float, letter: str, digits: str) -> str:
    precision = int(digits) if digits else None
    upper = letter.upper()
    if upper in "DXB":
        if not isinstance(value, int):
            raise BadFormat("the format needs a whole number")
        return _whole(value, letter, precision or 0)
    number = _decimal(value)
    if upper == "E":
        return _exponent(number, 6 if precision is None else precision, letter)
    if upper == "G":
        return general(value) if not precision else _significant(number, precision, letter)
    if upper == "R":
        return general(value)
    places = 2 if precision is None else precision
    if upper == "F":
        return _fixed(number, places)
    if upper == "N":
        return _grouped(number, places)
    if upper == "P":
        return _grouped(number * 100, places) + " %"
    if upper == "C":
        text = _grouped(abs(number), places)
        return f"(¤{text})" if number < 0 and text.strip("0.,") else f"¤{text}"
    raise BadFormat(f"the format '{letter}' is not known")


def _whole(value: int, letter: str, precision: int) -> str:
    if letter in "Dd":
        return ("-" if value < 0 else "") + str(abs(value)).rjust(precision, "0")
    bits = value & (2**64 - 1)
    return format(bits, "b" if letter in "Bb" else letter).rjust(precision, "0")


def _fixed(number: Decimal, places: int) -> str:
    rounded = _EXACT.quantize(number, Decimal(1).scaleb(-places))
    text = format(abs(rounded), "f")
    return ("-" if rounded < 0 else "") + text


def _grouped(number: Decimal, places: int) -> str:
    rounded = _EXACT.quantize(number, Decimal(1).scaleb(-places))
    return ("-" if rounded < 0 else "") + format(abs(rounded), ",f")


def _exponent(number: Decimal, places: int, letter: str) -> str:
    power, digits = _scientific(number, places + 1)
    sign = "-" if number < 0 else ""
    fraction = f".{digits[1:]}" if places else ""
    return f"{sign}{digits[0]}{fraction}{letter}{'-' if power < 0 else '+'}{abs(power):03d}"


def _scientific(number: Decimal, count: int) -> tuple[int, str]:
    """Power of ten and `count` rounded digits."""
    if not number:
        return 0, "0" * count
    rounded = Context(prec=count, rounding=ROUND_HALF_UP).plus(abs(number))
    digits = "".join(map(str, rounded.as_tuple().digits)).ljust(count, "0")
    return rounded.adjusted(), digits


def _significant(number: Decimal, precision: int, letter: str) -> str:
    power, digits = _scientific(number, precision)
    sign = "-" if number < 0 else ""
    digits = digits.rstrip("0") or "0"
    if -5 <= power < precision:
        text = format(Decimal(digits).scaleb(power - len(digits) + 1), "f")
        return sign + (text.rstrip("0").rstrip(".") if "." in text else text)
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    mark = "E" if letter == "G" else "e"
    return f"{sign}{digits[0]}{fraction}{mark}{'-' if power < 0 else '+'}{abs(power):02d}"


def _custom(value: int | float, form: str) -> str:
    number = _decimal(value)
    sections = _sections(form)
    if number < 0 and len(sections) > 1 and sections[1]:
        return _section(-number, sections[1])
    if number == 0 and len(sections) > 2 and sections[2]:
        return _section(number, sections[2])
    text = _section(abs(number), sections[0])
    return f"-{text}" if number < 0 and any(char in "123456789" for char in text) else text


def _sections(form: str) -> list[str]:
    out, current, quote, skip = [""], "", "", False
    for char in form:
        if skip:
            skip = False
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "\\":
            skip = True
        elif char == ";" and len(out) < 3:
            out[-1] = current
            out.append("")
            current = ""
            continue
        current += char
    out[-1] = current
    return out


def _section(number: Decimal, form: str) -> str:
    tokens = [match.groups() for match in _TOKEN.finditer(form)]
    marks = [token[5] for token in tokens if token[5]]
    point = marks.index(".") if "." in marks else len(marks)
    before = [mark for mark in marks[:point] if mark in "0#,"]
    after = [mark for mark in marks[point + 1 :] if mark in "0#"]
    number = number * Decimal(100) ** marks.count("%") * Decimal(1000) ** marks.count("‰")
    trailing = len(before) - len("".join(before).rstrip(","))
    number = number.scaleb(-3 * trailing) if before[: len(before) - trailing] else number
    exponent = next((token for token in tokens if token[4]), None)
    power = 0
    digits = [mark for mark in before if mark != ","]
    if exponent is not None and number:
        power = number.adjusted() - max(len(digits) - 1, 0)
        number = number.scaleb(-power)
    rounded = _EXACT.quantize(number, Decimal(1).scaleb(-len(after)))
    whole_text, _, fraction = format(rounded, "f").partition(".")
    needed = len(digits) - digits.index("0") if "0" in digits else 0
    whole_text = whole_text.lstrip("0").rjust(needed, "0")
    keep = max((i + 1 for i, mark in enumerate(after) if mark == "0"), default=0)
    fraction = fraction[:keep] + fraction[keep:].rstrip("0")
    grouping = "," in before[: len(before) - trailing]
    return _laid_out(tokens, whole_text, fraction, len(digits), grouping, power)


def _laid_out(
    tokens: list[tuple[str | None, ...]], whole_text: str, fraction: str, places: int, grouping: bool, power: int
) -> str:
    """The digits put into their places among the literal text."""
    out: list[str] = []
    seen = after = 0
    past_point = False
    for quoted, double, escaped, sign, zeros, mark, other in tokens:
        if zeros:
            plus = "+" if sign == "+" and power >= 0 else ""
            out.append(f"E{'-' if power < 0 else plus}{abs(power):0{len(zeros)}d}")
        elif mark == "." and not past_point:
            past_point = True
            out.append("." if fraction else "")
        elif mark in ("0", "#") and past_point:
            out.append(fraction[after : after + 1])
            after += 1
        elif mark in ("0", "#"):
            seen += 1
            start = len(whole_text) - (places - seen) - 1
            chunk = whole_text[: max(start + 1, 0)] if seen == 1 else whole_text[max(start, 0) : max(start + 1, 0)]
            left = len(whole_text) - max(start + 1, 0)
            out.append(_with_groups(chunk, left) if grouping else chunk)
        elif mark in ("%", "‰"):
            out.append(mark)
        elif not mark:
            out.append(quoted or double or escaped or other or "")
    return "".join(out)


def _with_groups(chunk: str, left: int) -> str:
    """`chunk` with a comma behind every digit that a multiple of three digits follows."""
    out = []
    for i, digit in enumerate(chunk):
        following = left + len(chunk) - i - 1
        out.append(digit + ("," if following and following % 3 == 0 else ""))
    return "".join(out)
