//! Where the boxes of a drawing stand: a layered drawing after Sugiyama, Tagawa and Toda (1981).
//!
//! An arrow over several rows has a narrow place of its own in each row that it passes, so that it goes around boxes rather than
//! behind them. The order within a row is that of the means of the neighbours' places (barycentres). Horizontal places then
//! minimise the squared sideways way of all arrows, row by row: with the order and the gaps held fast this is an isotonic
//! regression for each row, which pooling adjacent violators solves exactly.

/// Space to be kept free between two boxes, and beside an arrow that passes between them, in pixels.
const BESIDE: (f64, f64) = (36.0, 18.0);
/// An arrow on its way should be straighter than one that begins or ends.
const STRAIGHT: f64 = 8.0;
/// Ways down and up over all rows, for the order and for the places: more change nothing that one sees.
const SWEEPS: (usize, usize) = (12, 60);

/// A box, or what an arrow takes of a row that it passes.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// of a box; 0 for an arrow
    pub width: f64,
    /// the lowest row that all boxes of `from` are above
    pub row: usize,
    pub from: Vec<usize>,
}

/// Where everything stands, from the left.
#[derive(Debug)]
pub(super) struct Layout {
    /// the middle of each box
    pub middle: Vec<f64>,
    pub arrows: Vec<Arrow<f64>>,
    /// of the whole
    pub width: f64,
}

/// An arrow from one box to another, and where it passes the rows between the two, from above.
#[derive(Debug)]
pub(super) struct Arrow<T> {
    pub from: usize,
    pub to: usize,
    pub through: Vec<T>,
}

/// Lays out boxes, each of which stands after those that it comes from.
pub(super) fn layout(mut nodes: Vec<Node>) -> Layout {
    let boxes = nodes.len();
    let arrows = arrows(&mut nodes);
    let links = links(&nodes);
    let mut rows: Vec<Vec<usize>> =
        vec![Vec::new(); nodes.iter().map(|node| node.row + 1).max().unwrap_or(0)];
    for (i, node) in nodes.iter().enumerate() {
        rows[node.row].push(i);
    }
    order(&mut rows, &nodes, &links);
    let middle = place(&rows, &nodes, &links);
    let edge =
        |sign: f64| nodes.iter().zip(&middle).map(move |(node, middle)| middle + sign * node.width / 2.0);
    let left = edge(-1.0).reduce(f64::min).unwrap_or(0.0);
    let width = edge(1.0).reduce(f64::max).unwrap_or(0.0) - left;
    let middle: Vec<f64> = middle.iter().map(|middle| middle - left).collect();
    let arrows = arrows
        .into_iter()
        .map(|Arrow { from, to, through }| {
            let through = through.into_iter().map(|node| middle[node]).collect();
            Arrow { from, to, through }
        })
        .collect();
    Layout { middle: middle[..boxes].to_vec(), arrows, width }
}

/// The arrows. Each box whose value is used further down gets a chain of narrow nodes to there, which its arrows share.
fn arrows(nodes: &mut Vec<Node>) -> Vec<Arrow<usize>> {
    let boxes = nodes.len();
    let mut chains: Vec<Vec<usize>> = vec![Vec::new(); boxes];
    let mut arrows = Vec::new();
    for to in 0..boxes {
        for at in 0..nodes[to].from.len() {
            let from = nodes[to].from[at];
            let (chain, first) = (&mut chains[from], nodes[from].row + 1);
            let passed = nodes[to].row - first;
            while chain.len() < passed {
                let above = *chain.last().unwrap_or(&from);
                nodes.push(Node { width: 0.0, row: first + chain.len(), from: vec![above] });
                chain.push(nodes.len() - 1);
            }
            let through = chain[..passed].to_vec();
            nodes[to].from[at] = *through.last().unwrap_or(&from);
            arrows.push(Arrow { from, to, through });
        }
    }
    arrows
}

/// For each node the nodes in the rows beside it that it is linked to, each with its weight.
fn links(nodes: &[Node]) -> Vec<Vec<(usize, f64)>> {
    let mut links = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        for &from in &node.from {
            let passing = node.width == 0.0 && nodes[from].width == 0.0;
            let weight = if passing { STRAIGHT } else { 1.0 };
            links[i].push((from, weight));
            links[from].push((i, weight));
        }
    }
    links
}

fn order(rows: &mut [Vec<usize>], nodes: &[Node], links: &[Vec<(usize, f64)>]) {
    let mut place = vec![0.0; nodes.len()];
    let number = |row: &[usize], place: &mut [f64]| {
        row.iter().enumerate().for_each(|(at, &node)| place[node] = at as f64 - (row.len() - 1) as f64 / 2.0);
    };
    rows.iter().for_each(|row| number(row, &mut place));
    let mut best = (crossings(rows, nodes, &place), rows.to_vec());
    for sweep in 0..SWEEPS.0 {
        let down = sweep % 2 == 0;
        for at in 0..rows.len() {
            let row = if down { at } else { rows.len() - 1 - at };
            let wish = |node: usize| {
                let beside = links[node].iter().filter(|(other, _)| (nodes[*other].row < row) == down);
                let (sum, count) =
                    beside.fold((0.0, 0.0), |(sum, n), (other, _)| (sum + place[*other], n + 1.0));
                if count == 0.0 { place[node] } else { sum / count }
            };
            let mut wishes: Vec<(f64, usize)> = rows[row].iter().map(|&node| (wish(node), node)).collect();
            wishes.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[row] = wishes.into_iter().map(|(_, node)| node).collect();
            number(&rows[row], &mut place);
        }
        let now = crossings(rows, nodes, &place);
        if now < best.0 {
            best = (now, rows.to_vec());
        }
    }
    rows.clone_from_slice(&best.1);
}

/// How often arrows cross.
fn crossings(rows: &[Vec<usize>], nodes: &[Node], place: &[f64]) -> usize {
    let mut count = 0;
    for row in rows {
        let mut arrows: Vec<(f64, f64)> = row
            .iter()
            .flat_map(|&to| nodes[to].from.iter().map(move |&from| (place[from], place[to])))
            .collect();
        arrows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        for (i, a) in arrows.iter().enumerate() {
            count += arrows[i + 1..].iter().filter(|b| b.0 > a.0 && b.1 < a.1).count();
        }
    }
    count
}

/// The middle of each node.
fn place(rows: &[Vec<usize>], nodes: &[Node], links: &[Vec<(usize, f64)>]) -> Vec<f64> {
    let mut middle = vec![0.0; nodes.len()];
    for sweep in 0..SWEEPS.1 {
        for at in 0..rows.len() {
            let row = &rows[if sweep % 2 == 0 { at } else { rows.len() - 1 - at }];
            let wishes: Vec<(f64, f64)> = row
                .iter()
                .map(|&node| {
                    let (sum, weight) = links[node]
                        .iter()
                        // On the first way down nothing below has a place yet.
                        .filter(|(other, _)| sweep > 0 || nodes[*other].row < nodes[node].row)
                        .fold((0.0, 0.0), |(sum, all), (other, w)| (sum + w * middle[*other], all + w));
                    if weight == 0.0 { (middle[node], 1.0) } else { (sum / weight, weight) }
                })
                .collect();
            settle(row, nodes, &wishes, &mut middle);
        }
    }
    middle
}

/// Puts the nodes of a row as near to their wishes (and weights) as the gaps between them allow.
fn settle(row: &[usize], nodes: &[Node], wishes: &[(f64, f64)], middle: &mut [f64]) {
    // Each node's place when all stand as close as they may, from the first one's middle on.
    let mut close = vec![0.0; row.len()];
    for i in 1..row.len() {
        let (left, right) = (nodes[row[i - 1]].width, nodes[row[i]].width);
        let gap = if left == 0.0 || right == 0.0 { BESIDE.1 } else { BESIDE.0 };
        close[i] = close[i - 1] + (left + right) / 2.0 + gap;
    }
    // Blocks of nodes that stand close: the weighted sum of their shifts, the weight, and how many they are.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::with_capacity(row.len());
    for (close, (wish, weight)) in close.iter().zip(wishes) {
        let mut block = ((wish - close) * weight, *weight, 1);
        while let Some(last) = blocks.last()
            && last.0 / last.1 > block.0 / block.1
        {
            block = (block.0 + last.0, block.1 + last.1, block.2 + last.2);
            blocks.pop();
        }
        blocks.push(block);
    }
    let shifts = blocks.iter().flat_map(|block| std::iter::repeat_n(block.0 / block.1, block.2));
    for ((node, close), shift) in row.iter().zip(&close).zip(shifts) {
        middle[*node] = close + shift;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(width: f64, row: usize, from: &[usize]) -> Node {
        Node { width, row, from: from.to_vec() }
    }

    #[test]
    fn a_chain_stands_straight() {
        let chain = vec![node(100.0, 0, &[]), node(40.0, 1, &[0]), node(200.0, 2, &[1])];
        let layout = layout(chain);
        assert_eq!(layout.middle, [100.0; 3]);
        assert_eq!(layout.width, 200.0);
    }

    #[test]
    fn an_arrow_over_rows_passes_beside_their_boxes() {
        let nodes = vec![
            node(80.0, 0, &[]),
            node(120.0, 1, &[0]),
            node(300.0, 2, &[1]),
            node(120.0, 3, &[2, 0]),
            node(50.0, 4, &[3, 0]),
        ];
        let widths: Vec<f64> = nodes.iter().map(|node| node.width).collect();
        let layout = layout(nodes);
        let longest = layout.arrows.last().unwrap();
        assert_eq!((longest.from, longest.to, longest.through.len()), (0, 4, 3));
        for (row, x) in longest.through.iter().enumerate() {
            let beside = (x - layout.middle[row + 1]).abs() - widths[row + 1] / 2.0;
            // less a rounding of sums of a few numbers below 1,000
            assert!(beside > BESIDE.1 - 1e-9, "row {row}: {beside}");
        }
    }

    #[test]
    fn branches_do_not_cross() {
        // two branches whose boxes come in turn, then crosswise
        let nodes = vec![
            node(50.0, 0, &[]),
            node(50.0, 0, &[]),
            node(50.0, 1, &[1]),
            node(50.0, 1, &[0]),
            node(50.0, 2, &[3]),
            node(50.0, 2, &[2]),
        ];
        let middle = layout(nodes).middle;
        assert_eq!((middle[0], middle[1]), (middle[3], middle[2]));
        assert_eq!((middle[3], middle[2]), (middle[4], middle[5]));
    }
}
