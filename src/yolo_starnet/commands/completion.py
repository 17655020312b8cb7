"""Completion of `yolo-starnet` in bash and zsh: commands, modes, tasks, arguments, and the values of some of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from ultralytics import cfg
from ultralytics.engine.exporter import export_formats

from .. import plugins
from ..demo import datasets
from ..errors import ConfigError
from ..model_yaml import names
from ..tasks import TASKS

BASH = """\
_yolo_starnet() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} key= words=
    if [[ $cur == = ]]; then key=$before cur=
    elif [[ $before == = ]]; then key=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case $key in
%(values)s
    esac
    if [[ $key ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -W "$words" -- "$cur") $(compgen -f -- "$cur"))
        return
    fi
    case $((COMP_CWORD > 1)),${COMP_WORDS[1]} in
        0,*) words=%(first)s ;;
%(commands)s
        *) words=%(arguments)s ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if [[ ${COMPREPLY[0]-} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _yolo_starnet yolo-starnet
"""
ZSH = """\
#compdef yolo-starnet
_yolo_starnet() {
    local found
    if compset -P '*='; then
        case ${IPREFIX%%=} in
%(values)s
        esac
        compadd -- ${=found}
        _files
        return
    fi
    case $((CURRENT > 2)),$words[2] in
        0,*) found=%(first)s ;;
%(commands)s
        *) found=%(arguments)s ;;
    esac
    compadd -- ${${=found}:#*=}
    compadd -S '' -- ${(M)${=found}:#*=}
}
compdef _yolo_starnet yolo-starnet
"""


def script(shell: str, commands: Mapping[str, Sequence[str]]) -> str:
    """The script that a shell evaluates to complete `yolo-starnet`.

    Args:
        shell: `bash` or `zsh`.
        commands: Each command of this package with its arguments, as they are written.

    Raises:
        ConfigError: There is no script for that shell.
    """
    templates = {"bash": (BASH, "words"), "zsh": (ZSH, "found")}
    if shell not in templates:
        raise ConfigError(f"no completion for '{shell}'; the shells are {' and '.join(templates)}")
    template, variable = templates[shell]
    arguments = [*cfg.MODES, *cfg.TASKS, *(f"{key}=" for key in cfg.DEFAULT_CFG_DICT)]
    return template % {
        "values": _cases(_values(), variable),
        "commands": _cases({f"1,{name}": words for name, words in commands.items()}, variable),
        "first": _quoted([*commands, "help", "checks", "settings", "version", *arguments]),
        "arguments": _quoted(arguments),
    }


def _values() -> dict[str, Sequence[str]]:
    """The values of arguments that have known ones, sorted."""
    return {
        "model": _models(),
        "data": sorted(data_set.name for data_set in datasets.SETS.values()),
        "backbone": sorted(plugins.backbones()),
        "task": sorted(TASKS),
        "mode": sorted(cfg.MODES),
        "format": sorted(name for name in export_formats()["Argument"] if name != "-"),
        "shell": ["bash", "zsh"],
        "kind": ["backbone", "layer"],
    }


def _models() -> list[str]:
    """The names of the shipped configs at the scales n to x: yolo11n-starnet.yaml of yolo11-starnet.yaml."""
    ends = [
        (file.name, match.end()) for file in names.CONFIGS.glob("*.yaml") if (match := names.FAMILY.match(file.name))
    ]
    return sorted(f"{name[:end]}{scale}{name[end:]}" for name, end in ends for scale in "nsmlx")


def _cases(cases: Mapping[str, Sequence[str]], variable: str) -> str:
    return "\n".join(f"        {pattern}) {variable}={_quoted(words)} ;;" for pattern, words in cases.items())


def _quoted(words: Sequence[str]) -> str:
    return shlex.quote(" ".join(words))
