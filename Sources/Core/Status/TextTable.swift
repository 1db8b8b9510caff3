// Columns of text that are as wide as what is in them. Numbers to the right, words to the left.

struct TextTable {
  enum Alignment { case left, right }

  private let alignments: [Alignment]
  private var rows: [[[UInt8]]] = []

  init(_ headings: [(StaticString, Alignment)]) {
    alignments = headings.map { $0.1 }
    rows = [headings.map { [UInt8]($0.0) }]
  }

  @inline(never) mutating func add(_ cells: [[UInt8]]) { rows.append(cells) }

  func append(to text: inout [UInt8]) {
    var widths = alignments.map { _ in 0 }
    for row in rows {
      for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
    }
    for row in rows {
      for (column, cell) in row.enumerated() {
        if column > 0 { text.append("  ") }
        let padding = widths[column] - cell.count
        if alignments[column] == .right { text.append(spaces: padding) }
        text += cell
        // No spaces at the end of a line.
        if alignments[column] == .left && column < row.count - 1 { text.append(spaces: padding) }
      }
      text.append("\n")
    }
  }
}

extension [UInt8] {
  @inline(never) mutating func append(spaces count: Int) {
    for _ in 0..<Swift.max(0, count) { append(UInt8(ascii: " ")) }
  }

  /// As people say it: 417ms, 12s, 3m20s, 4h2m, 12d3h.
  @inline(never) mutating func append(span: Nanoseconds) {
    let milliseconds = Swift.max(0, span.count / 1_000_000)
    guard milliseconds >= 1_000 else {
      append(decimal: UInt64(milliseconds))
      return append("ms")
    }
    let seconds = UInt64(milliseconds / 1_000)
    switch seconds {
    case ..<60: append(seconds, "s")
    case ..<3_600: append(seconds / 60, "m", seconds % 60, "s")
    case ..<86_400: append(seconds / 3_600, "h", seconds / 60 % 60, "m")
    case _: append(seconds / 86_400, "d", seconds / 3_600 % 24, "h")
    }
  }

  private mutating func append(_ number: UInt64, _ unit: StaticString) {
    append(decimal: number)
    append(unit)
  }

  private mutating func append(
    _ number: UInt64, _ unit: StaticString, _ rest: UInt64, _ smallUnit: StaticString
  ) {
    append(number, unit)
    append(rest, smallUnit)
  }

  /// With three digits or four: 17 B, 1.5 KiB, 233 MiB.
  @inline(never) mutating func append(bytes: UInt64) {
    let units: [StaticString] = [" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"]
    var unit = 0
    var tenths = bytes >= UInt64.max / 10 ? bytes : bytes * 10
    if bytes >= UInt64.max / 10 {
      tenths = bytes / 1024 * 10
      unit = 1
    }
    while tenths >= 10_240 {
      tenths /= 1024
      unit += 1
    }
    append(decimal: tenths / 10)
    if unit > 0 && tenths < 1_000 {
      append(".")
      append(decimal: tenths % 10)
    }
    append(units[unit])
  }
}
