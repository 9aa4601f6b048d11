"""Strings that broke other programs, gathered by kind, in our own words."""

from __future__ import annotations

TEXTS: tuple[str, ...] = (
    # what stands for nothing somewhere
    "null", "NULL", "None", "nil", "undefined", "N/A", "n/a", "-", "--", "(blank)", "NaN", "true", "False", "#N/A", "#REF!",
    # numbers that are none
    "0", "-0", "007", "1e5", "1E+400", "0x1F", "1_000", "1,000.00", "1.000,00", "١٢٣", "Ⅻ", "½", "²", "9007199254740993",
    # names of people
    "O'Brien", "D’Arcy", "Smith-Jones", "van der Berg", "Null", "Test", "李小龙", "Đặng Thị", "Ångström", "Œuvre", "ﬁn",
    "Γιώργος", "ЁЖИК", "مُحَمَّد", "שלום", "ไทย", "नमस्ते", "İstanbul", "ıI", "ẞ", "ß", "ǅ", "e\u0301", "é", "Å", "Å",
    "J\u0307ohn", "A\u030a", "\u1e9e", "Z̸̡͓a̷l̶g̵o̸", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "\U0001f4a9" * 20,
    # white space that does not look it
    " leading", "trailing ", "two  spaces", "tab\there", "line\nbreak", "line\r\nbreak", "\u00a0nbsp\u00a0", "\u2003em",
    "\u200bzero", "\u200e\u200f", "\u2028", "\u2029", "\ufeffbom", "\u3000wide", "a\u00adb", "\u180e", "\u2060", "\u034f",
    # what turns text round
    "\u202eevil", "\u2066a\u2069", "\u061c",
    # control characters
    "nul\x00in", "\x01\x02\x03", "bell\x07", "back\x08", "esc\x1b[31mred\x1b[0m", "\x7f", "\x85", "\x9b31m",
    # halves and non-characters
    "\ufffd", "\uffff", "\ufdd0", "\U0010ffff",
    # markup and scripts
    "<b>bold</b>", "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "javascript:alert(1)", "&amp;", "&lt;", "&#x41;",
    "<![CDATA[x]]>", "]]>", "<!--", "-->", "<?xml version=\"1.0\"?>", "<!ENTITY x SYSTEM \"file:///etc/passwd\">",
    # queries
    "'; DROP TABLE leads; --", "' OR '1'='1", "\\'; --", "\" OR \"\"=\"", "%", "_", "100%_", "Robert'); --", "1; SELECT pg_sleep(9)",
    "x' AND Id != null AND Name = 'x", "\\", "\\\\", "\\n", "\\u0000", "${7*7}", "{{7*7}}", "{{ config }}", "#{7*7}", "<%= 7*7 %>",
    "%s%s%s%n", "%x", "{0}", "{}", "{name}", "$HOME", "`id`", "$(id)", "; ls", "| cat", "&& true", "../../etc/passwd",
    # spreadsheets
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=HYPERLINK(\"http://x.example\")", "\t=1+1", "＝1+1", "=cmd|' /C calc'!A0",
    # separators of ours and of others
    ";", ",", "|", "\"", "'", "''", "\"\"", "a;b;c", "a,b", "a\"b", "a\\;b", ":", "::", "a: b", "- a", "#a", "*", "&a", "!a", "~", "?",
    "[", "]", "{", "}", "<", ">", "/", "//", "a/b", "contacts/7", "%2F", "%00", "%252F", "a?b=c&d", "a#b", "@", "@a", "a@",
    # long
    "a" * 255, "a" * 256, "é" * 255, "a" * 10_000, "long " * 500, "👍" * 300,
    # dates that are none
    "2026-02-30", "0000-00-00", "31/12/2026", "2026-13-01T00:00:00Z", "1969-12-31", "9999-12-31", "now", "tomorrow",
)  # fmt: skip

ADDRESSES: tuple[str, ...] = (
    # sound, and odd
    "simple@x.example", "very.common@x.example", "disposable.style.with+symbol@x.example", "x@x.example", "a-b@x-y.example",
    "user%x@x.example", "user-@x.example", "_@x.example", "1@x.example", "a.b.c.d@sub.sub.x.example", "UPPER@X.EXAMPLE",
    "o'brien@x.example", "a!b@x.example", "a#b@x.example", "a$b@x.example", "a&b@x.example", "a*b@x.example", "a/b@x.example",
    "a=b@x.example", "a?b@x.example", "a^b@x.example", "a{b@x.example", "a|b@x.example", "a~b@x.example", "a`b@x.example",
    "用户@x.example", "δοκιμή@x.example", "ana@bücher.example", "ana@xn--bcher-kva.example", "ana@例え.example", "é@x.example",
    "e\u0301@x.example", "\"quoted\"@x.example", "\"a b\"@x.example", "\"a@b\"@x.example", "\"..\"@x.example", "a" * 64 + "@x.example",
    "ana@" + "a" * 63 + ".example", "ana@[192.0.2.1]", "ana@[IPv6:2001:db8::1]", "+49123@x.example", "ana@x.museum", "ana@x.co.uk",
    # not sound
    "plain", "@x.example", "ana@", "ana@@x.example", "ana@x@y.example", ".ana@x.example", "ana.@x.example", "an..a@x.example",
    "ana@.example", "ana@x..example", "ana@-x.example", "ana@x-.example", "ana @x.example", "ana@x .example", "ana@x.example.",
    "Ana <ana@x.example>", "<ana@x.example>", "ana@x.example, bob@x.example", "ana@x.example;bob@x.example", "mailto:ana@x.example",
    "ana(comment)@x.example", "ana@x.example\n", "\tana@x.example", "ana@x.example\x00", "a\x00na@x.example", "ana\u200b@x.example",
    "ana@localhost", "ana@127.0.0.1", "ana", "", " ", "null", "none@none", "n/a", "test@test", "a" * 65 + "@x.example",
    "ana@" + "a" * 64 + ".example", "ana@" + "a." * 130 + "example", "a" * 400 + "@x.example", "ana@x.e\u0301xample", "ana@x,example",
    "ana@x_example.example", "ana\\@x.example", "ana\"b\"@x.example", "ana@x.example?subject=hi", "ana＠x.example", "ana@x。example",
)  # fmt: skip
