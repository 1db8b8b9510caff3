// What clients and targets do, step by step.

enum Reading {
  case eager
  case never
  /// So many bytes, so often.
  case slow(Int, Time)
}

enum Step {
  case send(Int)
  /// One byte out of band.
  case sendUrgent
  case pause(Time)
  /// Until so many bytes in all have come.
  case awaitBytes(Int)
  case awaitEnd
  /// No more will be sent.
  case end
  /// The socket is closed, whatever there is to read.
  case close
  case reset
  /// Not heard of any more, and hears nothing.
  case vanish
  case read(Reading)
  /// Sends back what comes, from here on.
  case echo
}

enum Script {
  static func client(_ chance: inout Chance) -> [Step] {
    switch chance.number(0...12) {
    case 0, 1: return queries(&chance)
    case 2: return [.send(bulk(&chance)), .end, .awaitEnd]
    case 3: return [.pause(pause(&chance)), .awaitEnd]
    case 4: return [.close]
    case 5: return probe(&chance)
    case 6: return [.send(small(&chance)), .pause(pause(&chance)), .reset]
    case 7: return [.send(bulk(&chance)), .pause(pause(&chance)), .vanish]
    case 8:
      return [.read(.never), .send(bulk(&chance)), .pause(pause(&chance)), .read(.eager), .end]
    case 9: return [.send(small(&chance)), .end, .awaitEnd]
    case 10: return drip(&chance)
    case _: return mixed(&chance)
    }
  }

  static func target(_ chance: inout Chance) -> [Step] {
    switch chance.number(0...13) {
    case 0, 1, 2: return [.echo]
    case 3: return [.send(small(&chance)), .echo]
    case 4: return [.send(bulk(&chance)), .end, .awaitEnd]
    case 5: return [.awaitEnd, .send(bulk(&chance)), .end]
    case 6: return [.end, .awaitEnd]
    case 7: return [.send(small(&chance)), .pause(pause(&chance)), .reset]
    case 8: return [.send(bulk(&chance)), .pause(pause(&chance)), .vanish]
    case 9: return [.read(.never), .pause(pause(&chance)), .read(.eager), .echo]
    case 10: return [.send(bulk(&chance)), .awaitBytes(1), .close]
    case 11: return farewell(&chance)
    case _: return mixed(&chance)
    }
  }

  /// An urgent byte first, and gone: sent to while it is still to be read.
  private static func farewell(_ chance: inout Chance) -> [Step] {
    let more = chance.one(in: 2) ? [Step.send(small(&chance))] : []
    let wait = Time.microseconds(chance.scaled(1...50_000))
    return [.sendUrgent] + more + [.pause(wait), chance.pick([.close, .reset, .end])]
  }

  static func small(_ chance: inout Chance) -> Int { chance.scaled(1...3_000) }

  private static func bulk(_ chance: inout Chance) -> Int {
    chance.one(in: 6) ? chance.scaled(1...1_200_000) : chance.scaled(1...250_000)
  }

  private static func pause(_ chance: inout Chance) -> Time {
    .microseconds(chance.scaled(1...8_000_000))
  }

  private static func queries(_ chance: inout Chance) -> [Step] {
    var steps: [Step] = []
    var sent = 0
    for _ in 0..<chance.number(1...6) {
      let count = small(&chance)
      sent += count
      steps += [.send(count), .awaitBytes(sent)]
      if chance.one(in: 3) { steps.append(.pause(pause(&chance))) }
    }
    return steps + (chance.one(in: 3) ? [.close] : [.end, .awaitEnd])
  }

  private static func probe(_ chance: inout Chance) -> [Step] {
    let wait = Time.microseconds(chance.scaled(1...8_000))
    return [.pause(wait), chance.one(in: 3) ? .reset : .close]
  }

  private static func drip(_ chance: inout Chance) -> [Step] {
    var steps: [Step] = []
    let gap = Time.microseconds(chance.scaled(1...100_000))
    for _ in 0..<chance.number(2...25) { steps += [.send(1), .pause(gap)] }
    return steps + [.end, .awaitEnd]
  }

  private static func mixed(_ chance: inout Chance) -> [Step] {
    var steps: [Step] = []
    for _ in 0..<chance.number(1...8) {
      switch chance.number(0...11) {
      case 0, 1: steps.append(.send(small(&chance)))
      case 2: steps.append(.send(bulk(&chance)))
      case 3: steps.append(.sendUrgent)
      case 4, 5: steps.append(.pause(pause(&chance)))
      case 6: steps.append(.awaitBytes(small(&chance)))
      case 7: steps.append(.read(.never))
      case 8: steps.append(.read(.eager))
      case 9:
        steps.append(
          .read(.slow(chance.scaled(1...20_000), .microseconds(chance.scaled(10...50_000)))))
      case 10: steps.append(.echo)
      case _: steps.append(chance.one(in: 2) ? .pause(pause(&chance)) : .awaitBytes(1))
      }
    }
    switch chance.number(0...5) {
    case 0: steps.append(.reset)
    case 1: steps.append(.close)
    case 2: steps.append(.vanish)
    case _: steps += [.end, .awaitEnd]
    }
    return steps
  }
}
