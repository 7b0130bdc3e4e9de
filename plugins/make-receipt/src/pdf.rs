//! Writes laid-out pages as a PDF file.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use crate::order::Order;
use crate::pages::{self, Mark, PAGE_HEIGHT, PAGE_WIDTH, Page};

/// The receipt of an order, as a PDF file. The same order gives the same bytes, so a second attempt
/// stores nothing new.
pub fn render(order: &Order) -> Vec<u8> {
    let pages = pages::lay_out(order);
    let mut ids = Ids(1);
    let (catalog, tree, info, regular, bold) = (ids.next(), ids.next(), ids.next(), ids.next(), ids.next());

    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree);
    let title = format!("Receipt {}", order.order_id);
    pdf.document_info(info).title(TextStr(&title)).creator(TextStr("make-receipt"));
    for (id, face) in [(regular, "Helvetica"), (bold, "Helvetica-Bold")] {
        pdf.type1_font(id).base_font(Name(face.as_bytes())).encoding_predefined(Name(b"WinAnsiEncoding"));
    }

    let mut kids = Vec::with_capacity(pages.len());
    for marks in &pages {
        let (page_id, content_id) = (ids.next(), ids.next());
        kids.push(page_id);
        let mut page = pdf.page(page_id);
        page.parent(tree).media_box(Rect::new(0.0, 0.0, PAGE_WIDTH, PAGE_HEIGHT)).contents(content_id);
        page.resources().fonts().pair(REGULAR, regular).pair(BOLD, bold);
        page.finish();
        pdf.stream(content_id, &draw(marks));
    }
    // MAX_ITEMS fill about 90 pages, so the count fits.
    let count = i32::try_from(kids.len()).unwrap_or(i32::MAX);
    pdf.pages(tree).kids(kids).count(count);
    pdf.finish()
}

const REGULAR: Name<'static> = Name(b"F1");
const BOLD: Name<'static> = Name(b"F2");

fn draw(marks: &Page) -> Vec<u8> {
    let mut content = Content::new();
    content.set_line_width(0.5);
    for mark in marks {
        match mark {
            Mark::Text { x, y, size, bold, encoded } => {
                content.begin_text();
                content.set_font(if *bold { BOLD } else { REGULAR }, *size).next_line(*x, *y).show(Str(encoded));
                content.end_text();
            }
            Mark::Rule { y } => {
                content.move_to(pages::LEFT, *y).line_to(pages::RIGHT, *y).stroke();
            }
        }
    }
    content.finish().into_vec()
}

/// Hands out object ids.
struct Ids(i32);

impl Ids {
    fn next(&mut self) -> Ref {
        let id = Ref::new(self.0);
        self.0 += 1;
        id
    }
}
