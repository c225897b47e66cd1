# SPDX-License-Identifier: MIT
"""The analysis behind `hakmem profile`.  One module, one job:

    cli          the command line, and the order of the work
    machine      what the report says about the machine; which tools are there
    allocators   the names after --against, and what to preload for each
    runner       timed runs, interleaved; signals; the program's own output and status
    collect      runs of the program under perf, strace, callgrind and the counting library
    perfstat     reads what perf stat prints         \\
    perfreport   reads what perf report prints        |  parsers: text in, plain data out, InputError
    callgrind    reads callgrind and cachegrind files |  with file and line if the text is not what it says
    strace       reads the table of strace -c         |
    counting     reads the lines of libhakmem-count  /
    figures      numbers in any locale, and as people read them
    functions    sorts functions into allocator, program and kernel, and joins the time and the miss table
    evidence     all measurements in one object: what the verdict is computed from
    budget       the cycles of each cause, and its share of all
    cases        thresholds, indicators, and the cases that they tell
    verdict      which case it is, how sure that is, and both in words
    advice       what to do about each case, and what it may gain
    document     the report as data, from which the three writers below make their pages
    markdown, webpage, svg   writers (JSON is the document itself)
    replay       judges output that was collected elsewhere
    progress     the line that says what is being done

Python, and nothing but its standard library: every distribution has it, a maintainer of a C library reads it, and
this is parsing, arithmetic and text, which C would make long and sh or perl hard to maintain.  It is a dependency of
the tools only; the library needs the C library alone.  Python 3.9 or later.
"""
