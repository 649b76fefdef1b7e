"""The promise: after any sequence of operations, every device reaches what its object grants, and never a page more.

Operations are generated and played on real boards. What devices reach is enumerated from the programmed bits, and asked
of the models page by page; both are held to a plain account of what was granted, kept beside the manager.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.manager import GRANULE, Access, Manager, ManagerError, simulate
from iommuman.manager.prove import prove
from iommuman.topology import Topology, load_topology

from tests.conftest import BOARDS, HANDMADE
from tests.manager.watch import Reached, reached

DEVICES = {
    # 02:01.0 and 02:02.0 are behind a conventional bridge and share its ID
    "q35-vtd": ("0000:00:03.0", "0000:00:04.1", "0000:02:01.0", "0000:02:02.0", "0000:41:00.0"),
    "virt-smmuv3-acpi": (),
    "riscv-virt-sys-dt": (),
    # context banks, stream match entries; devices with several IDs
    "iort-smmuv2": (),
    # several units, and devices behind bridges
    "virt-smmuv3-numa": (),
}
UNIVERSE = [0x80000000 + page * GRANULE for page in range(8)]

OPERATIONS = st.one_of(
    st.tuples(st.just("map"), st.integers(0, 3), st.integers(0, 7), st.integers(1, 5), st.integers(1, 3),
              st.sampled_from([None, 0x40000000, 0x40001000])),
    st.tuples(st.just("unmap"), st.integers(0, 3), st.integers(0, 7), st.integers(1, 5)),
    st.tuples(st.just("add"), st.integers(0, 3), st.integers(0, 4), st.booleans()),
    st.tuples(st.just("remove"), st.integers(0, 1), st.integers(0, 4)),
    st.tuples(st.just("destroy"), st.integers(0, 3)),
    st.tuples(st.just("die"), st.integers(0, 1)),
)  # fmt: skip


@cache
def board(name: str) -> Topology:
    """Return the topology of a captured board."""
    return load_topology([str((HANDMADE if name == "iort-smmuv2" else BOARDS) / name)])


@dataclass
class Account:
    """What was granted, kept page by page.

    Attributes:
        pages: for each object, what its pages mean.
        owner: for each object, the client.
        place: for each device, the object that it is in.
    """

    pages: dict[int, Reached] = field(default_factory=dict)
    owner: dict[int, int] = field(default_factory=dict)
    place: dict[str, int] = field(default_factory=dict)


class Play:
    """Two clients with two objects each, and the account of what they did."""

    def __init__(self, name: str) -> None:
        self.machine = simulate(board(name))
        self.manager = Manager(board(name), self.machine.ports, self.machine.private)
        self.devices = DEVICES[name] or tuple(self.manager.survey.members)[:5]
        self.account = Account()
        self.clients = [self.manager.attach(f"client {number}", ("attach", "target")) for number in range(2)]
        self.objects = [self.create(self.clients[number // 2]) for number in range(4)]

    def create(self, client: int) -> int:
        """Make an object."""
        number = self.manager.create_object(client)
        self.account.pages[number] = {}
        self.account.owner[number] = client
        return number

    def play(self, operation: tuple[object, ...]) -> None:
        """Do one operation, and note what it means when it is not refused."""
        getattr(self, str(operation[0]))(*operation[1:])

    def map(self, which: int, page: int, count: int, access: int, target: int | None) -> None:
        """Grant pages."""
        number = self.objects[which]
        start, flags = UNIVERSE[page], Access(access)
        self.manager.map(self.account.owner[number], number, start, count * GRANULE, flags, target=target)
        (port, *_) = self.machine.ports.values()
        flags = port.widened(flags)  # what the unit cannot tell apart
        base = start if target is None else target
        pages = self.account.pages[number]
        pages |= {start + at: (base + at, flags) for at in range(0, count * GRANULE, GRANULE)}

    def unmap(self, which: int, page: int, count: int) -> None:
        """Take pages away."""
        number = self.objects[which]
        self.manager.unmap(self.account.owner[number], number, UNIVERSE[page], count * GRANULE)
        for at in range(0, count * GRANULE, GRANULE):
            self.account.pages[number].pop(UNIVERSE[page] + at, None)

    def add(self, which: int, device: int, together: bool) -> None:
        """Put a device into an object.

        Refused exactly when it, or one that shares its ID, is another's or left out, or one of its group another's.
        """
        number = self.objects[which]
        name = self.devices[device % len(self.devices)]
        client = self.account.owner[number]
        group = {name, *self.manager.survey.members[name].sharers}
        wanted = group if together else {name}
        near = {other for one in wanted for other in self.manager.survey.members[one].partners}
        owners = {self.account.owner[self.account.place[one]] for one in wanted | near if one in self.account.place}
        outside = {one for one in group - wanted if self.account.place.get(one) != number}
        if owners - {client} or outside:
            with pytest.raises(ManagerError) as caught:
                self.manager.add_device(client, number, name, together=together)
            assert caught.value.reason == "EBUSY"
            return
        self.manager.add_device(client, number, name, together=together)
        self.account.place |= dict.fromkeys(wanted, number)

    def remove(self, client: int, device: int) -> None:
        """Take a device out of whatever object it is in; refused when it is not the client's, or another would stay."""
        name = self.devices[device % len(self.devices)]
        number = self.account.place.get(name)
        owned = number is not None and self.account.owner[number] == self.clients[client]
        stays = any(self.account.place.get(one) == number for one in self.manager.survey.members[name].sharers)
        if owned and not stays:
            self.manager.remove_device(self.clients[client], name)
            del self.account.place[name]
            return
        with pytest.raises(ManagerError) as caught:
            self.manager.remove_device(self.clients[client], name)
        assert caught.value.reason == ("EBUSY" if owned else "ENOENT")

    def destroy(self, which: int) -> None:
        """Destroy an object, and make another in its place."""
        number = self.objects[which]
        client = self.account.owner[number]
        self.manager.destroy_object(client, number)
        self.forget(number)
        self.objects[which] = self.create(client)

    def die(self, which: int) -> None:
        """Let a client die, and another come."""
        client = self.clients[which]
        self.manager.detach(client)
        for number in [number for number, owner in self.account.owner.items() if owner == client]:
            self.forget(number)
        self.clients[which] = self.manager.attach("again", ("attach", "target"))
        for place in (2 * which, 2 * which + 1):
            self.objects[place] = self.create(self.clients[which])

    def forget(self, number: int) -> None:
        """Strike an object from the account."""
        del self.account.pages[number], self.account.owner[number]
        self.account.place = {name: place for name, place in self.account.place.items() if place != number}

    def check(self) -> None:
        """Every device reaches exactly what the account says: all that its tables hold, and page by page around it."""
        pages = [UNIVERSE[0] - GRANULE, *(UNIVERSE[0] + at * GRANULE for at in range(14)), 0, 0x40000000]
        for proof in prove(self.machine, self.manager):
            place = self.account.place.get(proof.device)
            granted = {} if place is None else self.account.pages[place]
            everything = {
                one.start + at: (one.physical + at, one.access)
                for one in proof.reached
                for at in range(0, one.length, GRANULE)
            }
            assert everything == granted, proof.device
            assert proof.holds
            if proof.device in self.devices:
                assert reached(self.machine, proof.endpoint, pages) == granted, proof.device


@pytest.mark.parametrize("name", DEVICES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, max_size=14))
def test_devices_reach_what_is_granted_and_never_a_page_more(name: str, operations: list[tuple[object, ...]]) -> None:
    """After each of any operations of two clients, also their deaths, reach is what the account of grants says."""
    play = Play(name)
    play.check()
    for operation in operations:
        play.play(operation)
        play.check()
    play.manager.stop()
    play.account.place.clear()
    play.check()
