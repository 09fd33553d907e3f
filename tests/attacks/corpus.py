"""Texts that become markup or script where somebody forgot to say that they are texts: one for each way in.

Each calls ``tqHit()``, or makes an element that is on no page of ours, if it gets through.
"""

from __future__ import annotations

#: The first ten are of the most different kinds: they are tried every time.
CORPUS = [
    "<script>tqHit()</script>",
    "\"'><img src=x onerror=tqHit()>",
    "</script><script>tqHit()</script>",
    "javascript:tqHit()//",
    "{{7*7}}{% print(7*7) %}${7*7}#{7*7}<%= 7*7 %>",
    "<svg/onload=tqHit()>",
    "\u2028tqHit()\u2029//\u202e\u2066<b>evil</b>",
    "&lt;script&gt;tqHit()&lt;/script&gt;&#60;img src=x onerror=tqHit()&#62;",
    "<!--><img src=x onerror=tqHit()>--><![CDATA[<script>tqHit()</script>]]>",
    '\\"-tqHit()-\\"\\u003cscript\\u003etqHit()\\u003c/script\\u003e',
    # elements
    "<ScRiPt>tqHit()</sCrIpT>",
    "<script src=data:,tqHit()></script>",
    "<script/x>tqHit()</script\t>",
    "<<script>tqHit();//<</script>",
    "<iframe src=javascript:tqHit()></iframe>",
    "<iframe srcdoc='<script>parent.tqHit()</script>'></iframe>",
    "<object data=javascript:tqHit()></object><embed src=javascript:tqHit()>",
    "<body onload=tqHit()><base href=https://evil.example/>",
    "<details open ontoggle=tqHit()><summary>x</summary></details>",
    "<input autofocus onfocus=tqHit()>",
    "<video><source onerror=tqHit()></video><audio src=x onerror=tqHit()>",
    "<marquee onstart=tqHit()>x</marquee>",
    "<math><mtext><table><mglyph><style><img src=x onerror=tqHit()>",
    "<form action=javascript:tqHit()><button autofocus>x</button></form><button form=x formaction=javascript:tqHit()>",
    "<meta http-equiv=refresh content='0;url=javascript:tqHit()'>",
    "<link rel=stylesheet href=https://evil.example/x.css><style>*{background:url(https://evil.example/)}</style>",
    "<template><script>tqHit()</script></template><noscript><p title='</noscript><img src=x onerror=tqHit()>'>",
    "</title><script>tqHit()</script>",
    "</textarea><script>tqHit()</script>",
    "</pre></option></select><img src=x onerror=tqHit()>",
    "</template></dialog></progress><svg onload=tqHit()>",
    # attributes
    '" onmouseover="tqHit()" autofocus onfocus="tqHit()" x="',
    "' onmouseover='tqHit()' autofocus onfocus='tqHit()' x='",
    "x onfocus=tqHit() autofocus tabindex=1",
    "` onmouseover=`tqHit()",
    '"/><a href="javascript:tqHit()">click</a>',
    '" style="background:url(https://evil.example/x)" x="',
    # addresses
    "JaVaScRiPt:tqHit()",
    "java\tscript:tqHit()",
    "\x01javascript:tqHit()",
    "data:text/html,<script>opener.tqHit()</script>",
    "vbscript:tqHit()",
    "//evil.example/x",
    "https://evil.example/\\@127.0.0.1/",
    "/\\evil.example",
    # scripts, JSON in scripts, styles
    "';tqHit();//",
    '";tqHit();//',
    "\\';tqHit();//",
    "`${tqHit()}`",
    "</script --><script>tqHit()</script>",
    "<!--<script>",
    "*/tqHit()/*",
    "expression(tqHit())",
    "}</style><script>tqHit()</script>",
    # templates, Markdown, other languages
    "{{constructor.constructor('tqHit()')()}}",
    "{{config.items()}}{{''.__class__.__mro__[1].__subclasses__()}}",
    "%(x)s %s {0.__class__} {x!r} $x ${x}",
    "[click](javascript:tqHit()) ![x](x\"onerror=\"tqHit())",
    "<svg><script xlink:href=data:,tqHit() /><animate onbegin=tqHit() attributeName=x></svg>",
    # encodings
    "%3Cscript%3EtqHit()%3C/script%3E",
    "+ADw-script+AD4-tqHit()+ADw-/script+AD4-",
    "＜script＞tqHit()＜/script＞ \u00abscript\u00bb",
    "<scr\u200bipt>tqHit()</scr\u200bipt><img\x0bsrc=x\x0conerror=tqHit()>",
    "\ufeff<script>tqHit()</script>\u00a0\u0085",
]  # fmt: skip
