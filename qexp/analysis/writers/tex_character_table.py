"""The characters that pdflatex needs a command for: data only."""

from __future__ import annotations

SPECIALS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedblright{}", "`": r"\textasciigrave{}",
    "[": "{[}", "*": "{*}",  # these begin an option behind \\
}  # fmt: skip
LETTERS = {
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
}  # fmt: skip
SIGNS = {
    "–": "--", "—": "---", "‐": "-", "‑": "-", "‘": "`{}", "’": "'{}", "“": "``{}", "”": "''{}", "…": r"\dots{}",
    "•": r"\textbullet{}", "§": r"\S{}", "¶": r"\P{}", "†": r"\dag{}", "‡": r"\ddag{}", "©": r"\copyright{}",
    "®": r"\textregistered{}", "™": r"\texttrademark{}", "£": r"\pounds{}", "¿": "?`{}", "¡": "!`{}",
    "°": r"$^{\circ}$", "″": "$''$", "′": "$'$", "€": r"\texteuro{}",
    "½": r"$\frac{1}{2}$", "⅓": r"$\frac{1}{3}$", "¼": r"$\frac{1}{4}$", "¾": r"$\frac{3}{4}$",
}  # fmt: skip
MATH = {
    "±": "pm", "∓": "mp", "×": "times", "÷": "div", "·": "cdot", "⋅": "cdot", "≤": "leq", "≥": "geq", "≠": "neq",
    "≈": "approx", "≡": "equiv", "∼": "sim", "≃": "simeq", "≅": "cong", "∝": "propto", "≪": "ll", "≫": "gg",
    "«": "ll", "»": "gg", "∞": "infty", "∑": "sum", "∏": "prod", "∫": "int", "√": "surd", "✓": "surd", "✔": "surd",
    "∂": "partial", "∇": "nabla", "∅": "emptyset", "∈": "in", "∋": "ni", "∉": "notin", "⊂": "subset",
    "⊃": "supset", "⊆": "subseteq", "⊇": "supseteq", "∪": "cup", "∩": "cap", "∧": "wedge", "∨": "vee",
    "¬": "neg", "∀": "forall", "∃": "exists", "⊕": "oplus", "⊗": "otimes", "⊥": "perp", "∥": "parallel",
    "‖": "parallel", "⟨": "langle", "⟩": "rangle", "ℓ": "ell", "ℜ": "Re", "ℑ": "Im", "ℵ": "aleph",
    "←": "leftarrow", "→": "rightarrow", "↑": "uparrow", "↓": "downarrow", "↔": "leftrightarrow",
    "⇐": "Leftarrow", "⇒": "Rightarrow", "⇑": "Uparrow", "⇓": "Downarrow", "⇔": "Leftrightarrow", "↦": "mapsto",
    "★": "star", "☆": "star", "∗": "ast", "✗": "times", "✘": "times", "∘": "circ",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ϵ": "epsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "ϑ": "vartheta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu",
    "ν": "nu", "ξ": "xi", "π": "pi", "ϖ": "varpi", "ρ": "rho", "ϱ": "varrho", "σ": "sigma", "ς": "varsigma",
    "τ": "tau", "υ": "upsilon", "φ": "varphi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Γ": "Gamma", "Δ": "Delta", "∆": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
    "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
LATIN_IN_GREEK = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))
ACCENTS = {
    0x300: "`", 0x301: "'", 0x302: "^", 0x303: "~", 0x304: "=", 0x306: "u", 0x307: ".", 0x308: '"', 0x30A: "r",
    0x30B: "H", 0x30C: "v", 0x323: "d", 0x327: "c", 0x331: "b",
}  # fmt: skip
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True))
