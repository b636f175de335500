# SPDX-License-Identifier: BSL-1.0
"""Plots by gnuplot, as SVG."""
import shutil
import subprocess


def bars(path, title, rows):
    """Horizontal bars on a logarithmic scale, the first on top; rows are (name, value, its text)."""
    if shutil.which("gnuplot") is None:
        print(f"left out: {path.name} (gnuplot is not installed)")
        return
    least = min(value for _, value, _ in rows)
    most = max(value for _, value, _ in rows)
    names = ", ".join(f'"{name}" {len(rows) - i}' for i, (name, _, _) in enumerate(rows))
    script = f"""
        set terminal svg noenhanced size 860,{90 + 24 * len(rows)} font "sans-serif,13" background "white"
        set output "{path}"
        set title "{title} (logarithmic)"
        set logscale x
        set xrange [{least / 2}:{most * 4}]
        set yrange [0.3:{len(rows) + 0.7}]
        set ytics ({names}) scale 0
        set xtics format "%g" nomirror
        unset mxtics
        set grid xtics lc rgb "#dddddd"
        set border 1
        unset key
        $rows << EOD
        {chr(10).join(f'{value} {len(rows) - i} {"0x1f6fb2" if i == 0 else "0x9aa5b1"} "{text}"'
                      for i, (_, value, text) in enumerate(rows))}
        EOD
        set style fill solid noborder
        plot $rows using ({least / 2}):2:({least / 2}):1:($2-0.36):($2+0.36):3 with boxxyerror lc rgb variable, \\
             $rows using 1:2:4 with labels left offset 0.6,0
    """
    subprocess.run(["gnuplot"], input="\n".join(line.strip() for line in script.splitlines()), text=True, check=True)
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text(encoding="utf-8").splitlines()),
                    encoding="utf-8")
