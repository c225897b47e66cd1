# SPDX-License-Identifier: MIT
"""What gdb can say of the memory of a program, or of a core, that runs on libhakmem.

    hakmem heaps           each heap: its threads and slabs, what is live in them and what is free
    hakmem address EXPR    what is at an address: which block, whether it is live, and if not, where it waits

The library's structures (hak_heap, hak_tcache, hak_slab, hak_super and hak_window) are printed as one line; print/r
shows them as they are.

gdb reads this file by itself together with the library, and needs the library's debugging information.  By hand:
source libhakmem-gdb.py.  No lock is taken, so a thread that was stopped within malloc or free may have one block that
is counted twice or not at all.
"""

import gdb
import gdb.printing

MOST = 1 << 20  # elements of one list, or of one array, whose length the process tells


class Library:
    """The library's variables and enum constants in the process that is looked at, as attributes."""

    def __init__(self):
        for objfile in gdb.objfiles():
            if objfile.lookup_global_symbol("hak_window_first"):
                self._objfile = objfile
                return
        raise gdb.GdbError("libhakmem is not loaded, or its debugging information is not installed")

    def __getattr__(self, name):
        found = self._objfile.lookup_global_symbol(name) or self._objfile.lookup_static_symbol(name)
        return self._known(found, name).value()

    def constant(self, name):
        """An enum constant, as a number."""
        return int(getattr(self, name))

    def static(self, neighbour, name):
        """A static variable of the file that defines the function `neighbour`."""
        file = self._known(self._objfile.lookup_global_symbol(neighbour), neighbour).symtab
        found = [symbol for symbol in file.static_block() if symbol.name == name]
        return self._known(found[0] if found else None, name).value()

    @staticmethod
    def _known(symbol, name):
        if symbol is None:
            raise gdb.GdbError(f"libhakmem has no {name}: this script is for another version of it")
        return symbol


def length(array):
    low, high = array.type.strip_typedefs().range()
    return high - low + 1


def many(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def linked(pointer, member):
    """What is on a list that ends with NULL; in a damaged process it may not."""
    seen = set()
    while int(pointer):
        if int(pointer) in seen or len(seen) == MOST:
            raise gdb.GdbError(f"a list by {member} has no end: the memory of the process is damaged")
        seen.add(int(pointer))
        yield pointer.dereference()
        pointer = pointer[member]


def first(count, array, most=None):
    """The first elements of an array, no more than it has, or than `most` of what a pointer leads to."""
    room = length(array) if most is None else most
    return (array[i] for i in range(min(int(count), room)))


def bits_set(words):
    return bin(words).count("1")


# ---- The structures in words -----------------------------------------------------------------------------------------
def slab_in_words(slab):
    if int(slab["base"]) == 0:
        return "a unit without a slab"
    if int(slab["back"]):
        return f"unit {int(slab['back'])} of the slab or span before it"
    library = Library()
    if int(slab["class"]) == library.constant("HAK_CLASS_LARGE"):
        if int(slab["state"]) == library.constant("HAK_LARGE_NONE"):
            return "a unit without a slab"
        return f"span of {many(int(slab['length']), 'unit')} at {int(slab['base']):#x}"
    size = int(library.hak_classes[int(slab["class"])]["size"])
    return (
        f"slab of heap {int(slab['owner'])} at {int(slab['base']):#x}: "
        f"{int(slab['free'])} of {int(slab['capacity'])} blocks of {size} bytes free"
    )


def super_in_words(superslab):
    free, dirty = int(superslab["free"]), int(superslab["dirty"])
    return (
        f"superslab at {int(superslab['base']):#x}: {bits_set(free)} of {length(superslab['epoch'])} units free, "
        f"{bits_set(free & dirty)} of these dirty"
    )


def window_in_words(window):
    base, supers = int(window["base"]), int(window["supers"])
    return (
        f"window from {base:#x} to {base + supers * (32 << Library().constant('HAK_UNIT_SHIFT')):#x}: "
        f"{int(window['next_super'])} of {supers} superslabs tried"
    )


def heap_in_words(heap):
    classes = Library().hak_classes
    slabs = blocks = 0
    for number in range(length(heap["slabs"])):
        slabs += int(heap["slabs"][number])
        blocks += int(heap["out"][number]) * int(classes[number]["size"])
    # A library without statistics does not count them.
    counted = f"{many(slabs, 'slab')}, {blocks} bytes in blocks outside of them, " if slabs else ""
    return (
        f"heap {int(heap['number'])}: {many(int(heap['threads']), 'thread')}, {counted}"
        f"{int(heap['depot_bytes'])} bytes in depots"
    )


def magazines(thread):
    """The class, the slot of the first block and the number of blocks of each magazine that a thread has."""
    classes = Library().hak_classes
    slots = int(thread["slots"].address)
    word = thread["slots"][0].type.sizeof
    for number in range(length(thread["hot"]["mags"])):
        base = slots + int(classes[number]["mag_offset"]) * word
        held = (int(thread["hot"]["mags"][number]["top"]) - base) // word
        yield number, base + word, held if 0 <= held <= length(thread["slots"]) else 0


def thread_in_words(thread):
    classes = Library().hak_classes
    blocks = size = 0
    for number, _, held in magazines(thread):
        blocks += held
        size += held * int(classes[number]["size"])
    heap = f"heap {int(thread['heap']['number'])}" if int(thread["heap"]) else "no heap"
    return (
        f"thread with {heap}: {many(blocks, 'block')} of {size} bytes in magazines, "
        f"{many(int(thread['outbox']['count']), 'block')} of {int(thread['outbox']['bytes'])} bytes in the outbox"
    )


class InWords:
    def __init__(self, value, words):
        self.value, self.words = value, words

    def to_string(self):
        try:
            return self.words(self.value)
        except gdb.GdbError as error:
            return f"({error})"


def printers():
    collection = gdb.printing.RegexpCollectionPrettyPrinter("libhakmem")
    for name, words in (
        ("hak_heap", heap_in_words),
        ("hak_tcache", thread_in_words),
        ("hak_slab", slab_in_words),
        ("hak_super", super_in_words),
        ("hak_window", window_in_words),
    ):
        collection.add_printer(name, f"^{name}$", lambda value, words=words: InWords(value, words))
    return collection


# ---- Addresses ------------------------------------------------------------------------------------------------------
def heaps(library):
    table = library.static("hak_heap_numbered", "registry_table")["heaps"]
    count = int(library.static("hak_heap_numbered", "registry_table")["heap_count"])
    for number in range(1, min(count, length(table) - 1) + 1):
        yield table[number].dereference()


def where_it_waits(library, slab, index, block):
    """Where a block is among the free ones; nothing if it is live."""
    if int(slab["bits"][index // 64]) >> index % 64 & 1:
        return "free in its slab"
    for heap in heaps(library):
        if int(heap["number"]) == int(slab["owner"]):
            depot = heap["depots"][int(slab["class"])]
            if any(int(one) == block for one in first(depot["count"], depot["blocks"], MOST)):
                return f"free in the depot of heap {int(heap['number'])}"
        for thread in linked(heap["threads_list"], "next_of_heap"):
            for number, base, held in magazines(thread):
                if number == int(slab["class"]):
                    slots = gdb.Value(base).cast(thread["slots"][0].type.pointer())
                    if any(int(slots[i]) == block for i in range(held)):
                        return f"free in the magazine of a thread with heap {int(heap['number'])}"
            outbox = thread["outbox"]
            if any(int(one) == block for one in first(outbox["count"], outbox["blocks"])):
                return f"free in the outbox of a thread with heap {int(heap['number'])}"
    return None


def within(address, block):
    return f"{address:#x} is " + ("" if address == block else many(address - block, 'byte') + " into ")


def block_in_slab(library, slab, address):
    base, size = int(slab["base"]), int(library.hak_classes[int(slab["class"])]["size"])
    index = (address - base) // size
    if index >= int(slab["capacity"]):
        return f"{address:#x} is behind the last block of the {slab_in_words(slab)}"
    block = base + index * size
    state = where_it_waits(library, slab, index, block) or "live"
    return f"{within(address, block)}a block of {size} bytes at {block:#x}, {state}, of heap {int(slab['owner'])}"


def huge_block(library, address):
    huge = library.static("hak_huge_alloc", "huge")
    last_freed = huge["last_freed"]  # freed, but in the table still
    for mapping in first(huge["table_size"], huge["table"], MOST):
        at, size = int(mapping["at"]), int(mapping["size"])
        if at and at != int(last_freed["at"]) and at <= address < at + size:
            return f"{within(address, at)}a huge block of {size} bytes at {at:#x}, live"
    for kept in [last_freed, *first(huge["cache_used"], huge["cache"])]:
        at, size = int(kept["at"]), int(kept["size"])
        if at and at <= address < at + size:
            return f"{address:#x} is in a freed mapping of {size} bytes that is kept at {at:#x}"
    return f"{address:#x} is not libhakmem's"


def unit_state(window, unit):
    chunk_units = length(window["chunks"][0]["slabs"])
    return window["chunks"][unit // chunk_units]["slabs"][unit % chunk_units]


def unit_of_large(library, window, unit):
    """The first unit of the large block that holds a unit, as the page map has no other of it; None if none does."""
    none, large = (library.constant(name) for name in ("HAK_ENTRY_NONE", "HAK_ENTRY_LARGE"))
    longest = int(library.hak_super_run_max) >> library.constant("HAK_UNIT_SHIFT")
    for at in range(unit, max(unit - longest, -1), -1):
        entry = int(window["map"][at])
        if entry == large:
            return at if unit - at < int(unit_state(window, at)["length"]) else None
        if entry != none:
            return None
    return None


def address_in_words(address):
    library = Library()
    unit_shift = library.constant("HAK_UNIT_SHIFT")
    for window in linked(library.hak_window_first.address, "next"):
        unit = (address - int(window["base"])) >> unit_shift
        if not 0 <= unit < int(window["map_units"]):
            continue
        first_unit = unit_of_large(library, window, unit)
        if first_unit is not None:
            run = unit_state(window, first_unit)
            base, size = int(run["base"]), int(run["length"]) << unit_shift
            if int(run["state"]) != library.constant("HAK_LARGE_LIVE"):
                return f"{address:#x} is in a freed span of {size} bytes that is kept at {base:#x}"
            return f"{within(address, base)}a large block of {size} bytes at {base:#x}, live"
        if int(window["map"][unit]) == library.constant("HAK_ENTRY_NONE"):
            break
        slab = unit_state(window, unit)
        slab = unit_state(window, unit - int(slab["back"]))
        return block_in_slab(library, slab, address)
    return huge_block(library, address)


# ---- Commands -------------------------------------------------------------------------------------------------------
class Hakmem(gdb.Command):
    """Commands that look at the memory of a program that runs on libhakmem."""

    def __init__(self):
        super().__init__("hakmem", gdb.COMMAND_DATA, prefix=True)


class Heaps(gdb.Command):
    """Show the heaps of libhakmem and the threads that have them.
    Usage: hakmem heaps
    The first heap is that of the threads that are exiting or could not have one of their own."""

    def __init__(self):
        super().__init__("hakmem heaps", gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        if argument:
            raise gdb.GdbError("hakmem heaps takes no argument")
        for heap in heaps(Library()):
            print(heap_in_words(heap))
            for thread in linked(heap["threads_list"], "next_of_heap"):
                print("    " + thread_in_words(thread))


class Address(gdb.Command):
    """Say what libhakmem knows of an address.
    Usage: hakmem address EXPRESSION"""

    def __init__(self):
        super().__init__("hakmem address", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, _from_tty):
        if not argument:
            raise gdb.GdbError("hakmem address: which address?")
        print(address_in_words(int(gdb.parse_and_eval(argument))))


gdb.printing.register_pretty_printer(gdb.current_objfile(), printers(), replace=True)
Hakmem()
Heaps()
Address()
