"""The built-in layout: no overlaps, arrows go forward, long ones are level, any depth."""

import time
from dataclasses import replace

import drawing_graphs as graphs
import numpy as np
import pytest

from microgradopt import Value, draw
from microgradopt.drawing.coordinates import nearest_in_order, place_items, straighten
from microgradopt.drawing.layers import assign_layers, build_grid
from microgradopt.drawing.layout import distances, entry_fractions, layered
from microgradopt.drawing.look import box_size
from microgradopt.drawing.order import crossings, inversions, order_layers, places

GRAPHS = {
    "circuit": graphs.circuit,
    "tensors": graphs.tensor_loss,
    "chain": lambda: graphs.chain(30),
    "mlp": lambda: graphs.mlp(2, width=4),
    "one leaf": lambda: Value(1.0),
    "two parts": lambda: [graphs.circuit(), graphs.circuit()],
    **{f"random {seed}": lambda seed=seed: graphs.random_graph(seed) for seed in range(8)},
}


@pytest.fixture(params=GRAPHS)
def nodes(request):
    return GRAPHS[request.param]()


def sizes_of(scene):
    return np.array([box_size(box) for box in scene.boxes])


def grid_of(scene, max_joints=10_000):
    tails = [arrow.tail for arrow in scene.arrows]
    heads = [arrow.head for arrow in scene.arrows]
    ports = entry_fractions(scene.arrows, len(scene.boxes))
    return build_grid(len(scene.boxes), tails, heads, ports, max_joints)


@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_boxes_do_not_overlap_and_arrows_go_forward(nodes, direction):
    scene = draw(nodes, direction=direction).scene
    placement = layered(scene, sizes_of(scene))
    low = placement.centres - placement.sizes / 2
    high = placement.centres + placement.sizes / 2
    assert np.isfinite(placement.centres).all()
    assert (low >= 0).all()
    assert (high <= [placement.width, placement.height]).all()
    apart = ((low[:, None] >= high[None]) | (low[None] >= high[:, None])).any(axis=2)
    assert (apart | np.eye(len(apart), dtype=bool)).all()
    along = 0 if direction == "LR" else 1
    for arrow in scene.arrows:
        assert high[arrow.tail, along] < low[arrow.head, along]
    assert len(placement.arrows) == len(scene.arrows)


def test_the_layout_is_deterministic(nodes):
    first, second = (draw(nodes).svg(engine="builtin") for _ in range(2))
    assert first == second


def test_every_item_keeps_its_distance_in_its_layer(nodes):
    scene = draw(nodes).scene
    grid = grid_of(scene)
    order = order_layers(grid)
    breadth = np.zeros(grid.layer.size, np.int64)
    breadth[: grid.boxes] = sizes_of(scene)[:, 1]
    apart = distances(grid, order, breadth)
    grid = replace(grid, port=np.rint(grid.port * 40))
    y = np.floor(place_items(grid, order, apart) + 0.5).astype(np.int64)
    straighten(grid, order, apart, y)
    same_layer = np.diff(grid.layer[order]) == 0
    assert (np.diff(y[order])[same_layer] >= apart[1:][same_layer]).all()


def test_segments_join_neighbouring_layers(nodes):
    grid = grid_of(draw(nodes).scene)
    assert (grid.layer[grid.head] - grid.layer[grid.tail] == 1).all()
    assert set(grid.layer.tolist()) == set(range(int(grid.layer.max()) + 1))


@pytest.mark.parametrize("joints", [0, 5, 50])
def test_few_joints_leave_some_arrows_whole(joints):
    scene = draw(graphs.random_graph(3)).scene
    grid = grid_of(scene, joints)
    assert grid.joints.sum() <= joints
    assert (grid.source < 0).any()
    assert (grid.layer[grid.head] - grid.layer[grid.tail] == 1).all()


def test_a_leaf_stands_just_before_its_only_use():
    x = Value(1.0, name="x")
    y = x
    for _ in range(5):
        y = y.tanh()
    scene = draw(y * Value(2.0, name="w")).scene
    layer = grid_of(scene).layer
    names = [box.name for box in scene.boxes]
    assert layer[names.index("w")] == layer[len(names) - 1] - 1


def test_layers_do_not_move_what_would_stretch_more_arrows():
    #   0 → 1 → 2 → 3, and 0 → 4 → 3 where 4 uses 0 and 5: late or early, 4 costs the same
    tails, heads = [0, 1, 2, 5, 0, 3], [1, 2, 6, 4, 4, 6]
    order = sorted(zip(heads, tails, strict=True))
    layer = assign_layers(7, [tail for _, tail in order], [head for head, _ in order])
    assert all(layer[tail] < layer[head] for tail, head in zip(tails, heads, strict=True))


def test_trees_are_drawn_without_crossings():
    leaves = [Value(float(i)) for i in range(16)]
    while len(leaves) > 1:
        leaves = [a - b for a, b in zip(leaves[::2], leaves[1::2], strict=True)]
    grid = grid_of(draw(leaves[0]).scene)
    order = order_layers(grid)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    assert crossings(grid, places(grid.layer, rank)) == 0


def test_ordering_removes_crossings():
    grid = grid_of(draw(graphs.mlp(1, width=6)).scene)
    order = order_layers(grid)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    shuffled = np.random.default_rng(0).permutation(order.size)
    assert crossings(grid, places(grid.layer, rank)) < crossings(grid, places(grid.layer, shuffled))


def test_inversions_are_counted_within_groups():
    rng = np.random.default_rng(0)
    for _ in range(50):
        sizes = rng.integers(1, 9, 5)
        start = np.repeat(np.cumsum(sizes) - sizes, sizes)
        ranks = rng.integers(0, 7, sizes.sum())
        pairs = [(i, j) for j in range(ranks.size) for i in range(j) if start[i] == start[j]]
        assert inversions(ranks.copy(), start) == sum(ranks[i] > ranks[j] for i, j in pairs)


def test_nearest_in_order_is_the_weighted_isotonic_regression():
    rng = np.random.default_rng(0)
    for _ in range(50):
        want, weight = rng.normal(size=9), rng.uniform(0.1, 5, 9)

        def mean(a, b, want=want, weight=weight):
            return np.average(want[a : b + 1], weights=weight[a : b + 1])

        exact = [
            max(min(mean(a, b) for b in range(i, 9)) for a in range(i + 1)) for i in range(9)
        ]  # the max-min formula
        np.testing.assert_allclose(nearest_in_order(want.tolist(), weight.tolist()), exact)


def test_a_long_arrow_beside_a_chain_is_level():
    x, w = Value(1.0, name="x"), Value(2.0, name="w")
    y = x
    for _ in range(12):
        y = y.tanh()
    scene = draw(y * x + w).scene
    (wire,) = layered(scene, sizes_of(scene)).wires
    assert wire.count("C") <= 1


def test_deep_graphs_are_drawn():
    scene = draw(graphs.chain(5000)).scene
    placement = layered(scene, sizes_of(scene))
    assert np.isfinite(placement.centres).all()


def test_twenty_thousand_boxes(capsys):
    loss = graphs.mlp(35)
    start = time.perf_counter()
    drawing = draw(loss)
    middle = time.perf_counter()
    svg = drawing.svg(engine="builtin")
    end = time.perf_counter()
    with capsys.disabled():
        print(
            f"\n{len(drawing.scene.boxes):,} boxes: scene {middle - start:.2f} s, "
            f"layout and SVG {end - middle:.2f} s, {len(svg) / 1e6:.0f} MB"
        )
    assert len(drawing.scene.boxes) > 20_000
