// pipe(7) as splice(2) uses it: a ring of slots, each with a piece of one stream, and the user's
// quota of pages.

final class Pipe {
  struct Slot {
    let source: Peer
    var start: Int
    var count: Int
  }

  private var slots: [Slot] = []
  private(set) var count = 0
  var pages: Int
  var openEnds = 2

  static let page = 4_096

  init(pages: Int) { self.pages = pages }

  var isEmpty: Bool { slots.isEmpty }
  var hasSlot: Bool { slots.count < pages }

  func add(_ slot: Slot) {
    if let first = slots.first, first.source !== slot.source {
      sim.fail("a pipe holds bytes of another stream")
    }
    slots.append(slot)
    count += slot.count
  }

  func take(_ most: Int) -> Slot {
    var taken = slots[0]
    taken.count = min(most, taken.count)
    count -= taken.count
    slots[0].start += taken.count
    slots[0].count -= taken.count
    if slots[0].count == 0 { slots.removeFirst() }
    return taken
  }
}

final class PipeEnd: Object {
  let pipe: Pipe
  let isOutput: Bool

  init(_ pipe: Pipe, isOutput: Bool) {
    self.pipe = pipe
    self.isOutput = isOutput
  }

  override func close() {
    pipe.openEnds -= 1
    guard pipe.openEnds == 0 else { return }
    sim.kernel.pipePages -= pipe.pages
    sim.kernel.pipes -= 1
    if !pipe.isEmpty { sim.reach(.pipeDiscarded) }
  }
}

extension Kernel {
  static let pipePagesAtFirst = 16

  func makePipe() -> (code: Int32, output: Int32, input: Int32) {
    // What others of this user hold counts as well (pipe-user-pages-soft).
    let isOver = pipePages + Self.pipePagesAtFirst > plan.pipeQuotaPages
    let pipe = Pipe(pages: isOver ? 2 : Self.pipePagesAtFirst)
    guard hasRoom(for: 2) else {
      lastShortage = sim.now
      return (Code.descriptorLimit, -1, -1)
    }
    let output = install(PipeEnd(pipe, isOutput: true))
    guard output >= 0 else { return (output, -1, -1) }
    pipePages += pipe.pages
    pipes += 1
    let input = install(PipeEnd(pipe, isOutput: false))
    guard input >= 0 else {
      pipe.openEnds -= 1
      close(output)
      return (input, -1, -1)
    }
    if pipes > sim.world.pipeLimit { sim.fail("more pipes than the quota's share") }
    sim.reach(.pipe)
    return (0, output, input)
  }

  func setPipeCapacity(_ pipe: Pipe, _ bytes: Int) -> Int32 {
    let pages = (bytes + Pipe.page - 1) / Pipe.page
    guard pages <= pipe.pages || pipePages - pipe.pages + pages <= plan.pipeQuotaPages else {
      sim.reach(.quotaRefused)
      return Code.notPermitted
    }
    pipePages += pages - pipe.pages
    pipe.pages = pages
    return Int32(pages * Pipe.page)
  }

  func splice(_ source: Int32, _ target: Int32, _ count: Int) -> Int {
    if plan.hasNoSplice {
      sim.reach(.noSplice)
      return Int(Code.invalid)
    }
    if let end = self[source] as? PipeEnd {
      return find(target, Stream.self).drain(end.pipe, count)
    }
    return find(source, Stream.self).fill(find(target, PipeEnd.self).pipe, count)
  }
}
