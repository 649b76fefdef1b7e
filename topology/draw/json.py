"""A topology as JSON, for programs. `docs/topology.schema.json` describes it; `VERSION` counts incompatible changes.

Addresses and sizes of memory are strings in hexadecimal (JSON numbers lose bits above 2**53); IDs, offsets, counts and
interrupts are numbers.
"""

from __future__ import annotations

import json
from typing import Any

from ...base import Finding, Origin
from ..groups import Group, isolation_groups
from ..kernel import compare
from ..model import (
    Device,
    Fact,
    Grant,
    IdMap,
    Iommu,
    MsiController,
    PciRoot,
    Property,
    ReservedRegion,
    Source,
    UnresolvedScope,
)
from ..resolve import Hop, Route
from ..topology import Topology
from ..view import attachments
from .kernel import kernel_object

FORMAT = "iommuman-topology"
VERSION = 1


def draw_json(topology: Topology) -> str:
    """Return the topology as a JSON document, every fact with its origin."""
    return json.dumps(topology_object(topology), indent=1) + "\n"


def topology_object(topology: Topology) -> dict[str, Any]:
    """Return the topology as plain dictionaries and lists."""
    attached = attachments(topology)
    return {
        "format": FORMAT,
        "version": VERSION,
        "sources": [_source(one) for one in topology.sources],
        "passed_over": [{"name": name, "reason": reason} for name, reason in topology.passed_over],
        "facts": [_fact(one) for one in topology.facts],
        "iommus": [_iommu(one) for one in topology.iommus.values()],
        "roots": [_root(one) for one in topology.roots.values()],
        "msi_controllers": [_msi_controller(one) for one in topology.msi_controllers.values()],
        "devices": [
            {**_device(one.device), "routes": [route_object(route) for route in one.routes]} for one in attached
        ],
        "maps": [_map(one) for one in topology.maps],
        "reserved": [region_object(one) for one in topology.reserved],
        "grants": [grant_object(one) for one in topology.grants],
        "unresolved": [_unresolved(one) for one in topology.unresolved],
        "groups": [group_object(one) for one in isolation_groups(topology, attached)],
        "kernels": [kernel_object(compare(topology, view, attached)) for view in topology.kernel_views],
        "findings": [finding_object(one) for one in topology.findings],
    }


def hexadecimal(number: int | None) -> str | None:
    """Return an address or size as text; None stays None."""
    return None if number is None else f"0x{number:x}"


def origin_object(origin: Origin | None) -> dict[str, Any] | None:
    """Return a place in the input; keys that do not apply are left out."""
    if origin is None:
        return None
    found = {
        "source": origin.source,
        "part": origin.part or None,
        "offset": origin.offset,
        "length": origin.length,
        "line": origin.line,
        "column": origin.column,
    }
    return {name: value for name, value in found.items() if value is not None}


def finding_object(finding: Finding) -> dict[str, Any]:
    """Return a finding; its sentence is under `text`."""
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "origin": origin_object(finding.origin),
        "message": finding.message,
        "field": finding.field,
        "found": finding.found,
        "expected": finding.expected,
        "clause": finding.clause,
        "advice": finding.advice,
        "excerpt": finding.excerpt,
        "text": str(finding),
    }


def route_object(route: Route) -> dict[str, Any]:
    """Return what becomes of one ID."""
    return {
        "requester": route.requester,
        "why": route.why,
        "why_origin": origin_object(route.why_origin),
        "bridge": route.bridge,
        "verdict": route.verdict,
        "iommu": route.iommu,
        "id": route.stream,
        "count": route.count,
        "ignored_bits": route.ignored_bits,
        "hops": [_hop(hop) for hop in route.hops],
        "msi_hops": [_hop(hop) for hop in route.msi_hops],
        "reason": route.reason,
    }


def region_object(region: ReservedRegion) -> dict[str, Any]:
    """Return a reserved region."""
    return {
        "kind": region.kind,
        "start": hexadecimal(region.start),
        "length": hexadecimal(region.length),
        "meaning": region.meaning,
        "physical": hexadecimal(region.physical),
        "devices": list(region.devices),
        "streams": [{"iommu": one.iommu, "base": one.base, "length": one.length} for one in region.streams],
        "properties": _properties(region.properties),
        "origin": origin_object(region.origin),
    }


def group_object(group: Group) -> dict[str, Any]:
    """Return an isolation group."""
    return {
        "name": group.name,
        "devices": list(group.devices),
        "iommus": list(group.units),
        "reasons": [
            {
                "kind": one.kind,
                "at": one.at,
                "devices": list(one.devices),
                "text": one.text,
                "remedy": one.remedy,
                "known": one.known,
                "origin": origin_object(one.origin),
            }
            for one in group.reasons
        ],
        "left_out": [{"device": name, "reason": reason} for name, reason in group.left_out],
        "cautions": list(group.cautions),
        "unseen": list(group.unseen),
    }


def grant_object(grant: Grant) -> dict[str, Any]:
    """Return memory that devices may use from start."""
    return {
        "name": grant.name,
        "start": hexadecimal(grant.start),
        "length": hexadecimal(grant.length),
        "read": grant.read,
        "write": grant.write,
        "devices": list(grant.devices),
        "origin": origin_object(grant.origin),
    }


def _hop(hop: Hop) -> dict[str, Any]:
    return {
        "source": hop.source,
        "source_id": hop.source_id,
        "target": hop.target,
        "target_id": hop.target_id,
        "count": hop.count,
        "rule": hop.rule,
        "origin": origin_object(hop.origin),
    }


def _properties(properties: tuple[Property, ...]) -> dict[str, str | int | bool]:
    return dict(properties)


def _source(source: Source) -> dict[str, Any]:
    return {"name": source.name, "kind": source.kind, "size": source.size, "used": source.used}


def _fact(fact: Fact) -> dict[str, Any]:
    return {"name": fact.name, "value": fact.value, "origin": origin_object(fact.origin)}


def _iommu(unit: Iommu) -> dict[str, Any]:
    return {
        "name": unit.name,
        "kind": unit.kind,
        "base": hexadecimal(unit.base),
        "size": hexadecimal(unit.size),
        "segment": unit.segment,
        "enabled": unit.enabled,
        "id_cells": unit.id_cells,
        "bypass": unit.bypass,
        "reserved_ids": list(unit.reserved_ids),
        "interrupts": [
            {"purpose": one.purpose, "number": one.number, "trigger": one.trigger} for one in unit.interrupts
        ],
        "properties": _properties(unit.properties),
        "origin": origin_object(unit.origin),
    }


def _root(root: PciRoot) -> dict[str, Any]:
    return {
        "name": root.name,
        "segment": root.segment,
        "first_bus": root.first_bus,
        "last_bus": root.last_bus,
        "enabled": root.enabled,
        "properties": _properties(root.properties),
        "origin": origin_object(root.origin),
    }


def _msi_controller(controller: MsiController) -> dict[str, Any]:
    return {
        "name": controller.name,
        "kind": controller.kind,
        "base": hexadecimal(controller.base),
        "enabled": controller.enabled,
        "origin": origin_object(controller.origin),
    }


def _device(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "kind": device.kind,
        "segment": device.segment,
        "rid": device.rid,
        "base": hexadecimal(device.base),
        "enabled": device.enabled,
        "properties": _properties(device.properties),
        "origin": origin_object(device.origin),
    }


def _map(one: IdMap) -> dict[str, Any]:
    return {
        "source": one.source,
        "target": one.target,
        "base": one.base,
        "length": one.length,
        "output": one.output,
        "rule": one.rule,
        "carries": one.carries,
        "single": one.single,
        "fallback": one.fallback,
        "tentative_last": one.tentative_last,
        "mask": one.mask,
        "ignored_bits": one.ignored_bits,
        "cells": list(one.cells),
        "covers": one.covers,
        "merges": one.merges,
        "overrides": one.overrides,
        "origin": origin_object(one.origin),
    }


def _unresolved(scope: UnresolvedScope) -> dict[str, Any]:
    return {
        "owner": scope.owner,
        "iommu": scope.iommu,
        "segment": scope.segment,
        "start_bus": scope.start_bus,
        "path": [list(pair) for pair in scope.path],
        "kind": scope.kind,
        "reason": scope.reason,
        "origin": origin_object(scope.origin),
    }
