/* gup fast-only by K devices, DMA through what they took, put, and one madvise(MADV_DONTNEED) of the page.
 *
 * Written by hand after model/kernel: one d_step is one micro-step there, a proctype's first location is a command that
 * may still be started, its last one a command that has ended. What follows from the rest is left out.
 */
#ifndef K
#define K 3
#endif
#define NOBODY 255
#define MINE (irqs_off_by == NOBODY || irqs_off_by == _pid)

byte irqs_off_by = NOBODY;
byte refcount = 1;
bool pte = true;
bool tlb = true;
byte reference[K];                          /* what was in the page when it was kept; 0: none */
byte content = 1;

active [K] proctype gup() {
  bool got = false;
  skip;                                   /* begin */
  d_step { MINE -> skip };                /* get_the_pages */
  d_step { MINE -> skip };                /* try_fast */
  d_step { MINE -> skip };                /* read_write_protect_seq */
  d_step { MINE -> irqs_off_by = _pid };  /* disable_interrupts */
  d_step { MINE -> skip };                /* walk_to_pmd */
  if
  :: d_step { MINE && !pte -> skip }      /* read_pte: nothing there */
  :: d_step { MINE && pte -> skip };      /* read_pte */
     if
     :: d_step { MINE && refcount == 0 -> skip }
     :: d_step { MINE && refcount != 0 -> refcount++; got = true }; /* try_grab_folio */
        if
        :: d_step { MINE && !pte -> refcount--; got = false }
        :: d_step { MINE && pte -> skip };  /* recheck_pte */
           d_step { MINE -> skip }          /* walk_to_pmd: no more pages */
        fi
     fi
  fi;
  d_step { MINE -> irqs_off_by = NOBODY };  /* enable_interrupts */
  d_step { MINE -> skip };                  /* recheck_write_protect_seq */
  d_step { MINE -> skip };                  /* fall_back */
  d_step { MINE -> skip };                  /* hand_over */
  d_step { MINE -> reference[_pid] = (got -> content : 0); got = false }; /* keep_or_give_back */
  false
}

active [K] proctype dma() {
  reference[_pid - K] != 0;                   /* begin: there must be such a reference */
  skip;                                     /* translate */
  d_step { content = (reference[_pid - K] != 0 -> 65 : content) }; /* transfer */
  false
}

active [K] proctype put() {
  reference[_pid - 2 * K] != 0;               /* begin */
  d_step { MINE -> reference[_pid - 2 * K] = 0 }; /* forget */
  d_step { MINE -> refcount-- };        /* put_pages */
  false
}

active proctype do_madvise() {
  skip;                                     /* begin */
  d_step { MINE -> skip };                  /* check_arguments */
  d_step { MINE -> skip };                  /* mmap_lock */
  d_step { MINE -> skip };                  /* madvise_vma_behavior */
  d_step { MINE -> skip };                  /* mmu_notifier_invalidate_range_start */
  d_step { MINE -> pte = false };           /* zap_pte_range */
  d_step { MINE -> skip };                  /* zap_pte_range: no more of them */
  d_step { MINE -> skip };                  /* mmu_notifier_invalidate_range_end */
  d_step { MINE -> skip };                  /* tlb_finish_mmu */
  d_step { MINE -> skip };                  /* tlb_flush */
  d_step { MINE -> tlb = false };           /* flush_local */
  d_step { MINE -> skip };                  /* wait_for_ipi: the other CPU does not know the page */
  d_step { MINE -> refcount-- };            /* tlb_batch_pages_flush */
  d_step { MINE -> skip };                  /* next_vma */
  d_step { MINE -> skip };                  /* mmap_unlock */
  false
}
